"""What is to be reached: how many times as fast as ZODB, by workload and size.

Each row is a metric of a workload at a size. A factor of 1 stands for "not slower". `BOUNDS`
are of times, whatever ZODB takes.
"""

from dataclasses import dataclass

from benchmarks.engines import NATIVE, PURE
from benchmarks.measure import Result
from benchmarks.workload import WORKLOADS

__all__ = ["BOUNDS", "TARGETS", "TOLERANCE", "Bound", "Target", "reached", "result_of"]

TOLERANCE = 0.95
"""What counts as not slower: repeated, a ratio of two equal things differs by as much."""


@dataclass(frozen=True)
class Target:
    """One row: what to read, at which size, and the factors; None where there is no target."""

    title: str
    workload: str
    size: str  # the name of one of the workload's sizes
    native: float | None
    pure: float | None
    metric: str = ""

    @property
    def size_number(self) -> int:
        number: int = getattr(WORKLOADS[self.workload].sizes, self.size)
        return number

    def factor(self, engine: str) -> float | None:
        """Return what this engine is to reach."""
        return {NATIVE: self.native, PURE: self.pure}[engine]


@dataclass(frozen=True)
class Bound:
    """One row of times: what to read, at which size, and what it may take, None for no bound."""

    title: str
    workload: str
    size: str
    metric: str
    most_s: float | None = None

    @property
    def size_number(self) -> int:
        number: int = getattr(WORKLOADS[self.workload].sizes, self.size)
        return number


_PACK_COMMITS = ("commit-beside-pack", "large")
_PACK_LOADS = ("pack-beside-reader", "large")

TARGETS = (
    Target("cold read, object cache empty", "read-cold", "small", 8, 2.5),
    Target("read again after ``cacheMinimize``", "read-again", "small", 8, 2.5),
    Target("add 1,000 objects in a commit", "add", "small", 10, 1.8, "commit"),
    Target("the same, with making the objects", "add", "small", None, None),
    Target("the commit, less its sync", "add", "small", None, None, "less-syncs"),
    Target("update 1,000 objects in a commit", "update", "small", 7, 1.8, "commit"),
    Target("the same, with changing the objects", "update", "small", None, None),
    Target("the commit, less its sync", "update", "small", None, None, "less-syncs"),
    Target("BTree: 100,000 random inserts, 1,000 a commit", "tree-insert", "large", 7, 1.5),
    Target("BTree: random lookups, cold", "tree-lookup", "large", 5, 2),
    Target("BTree: range scan, cold", "tree-scan", "large", 3.5, 1.2),
    Target("small commits (10 objects), one thread, synced", "commit-1", "small", 4, 1.5),
    Target("the same, less their syncs", "commit-1", "small", None, None, "less-syncs"),
    Target("small commits, 8 threads, synced", "commit-8", "small", 3, None),
    Target("the same, 2,000 commits", "commit-8", "large", 3, None),
    Target("small commits, 8 threads, a sync takes 2 ms", "commit-8-slow", "small", 4, 4),
    Target("commits of one writer, two threads read", "commit-beside-readers", "small", 15, 3),
    Target("the two readers beside it", "commit-beside-readers", "small", 4, None, "readers"),
    Target("conflict resolution, 4 threads", "conflicts", "small", 2, 1.3),
    Target("``history(oid, 20)``", "history", "small", 5, 3),
    Target("undo of a 1,000-object transaction", "undo", "small", 4, 1.5),
    Target("the same, less its sync", "undo", "small", None, None, "less-syncs"),
    Target("index rebuild by scanning, 1,000,000 objects", "index-rebuild", "large", 20, 3),
    Target("pack, 1,000,000 objects, half garbage", "pack", "large", 10, 3),
    Target("open after ``kill -9``, 1,000,000 objects", "open-killed", "large", 10, 10),
    Target("1 MB object, write", "big-object", "small", 1, 1, "write"),
    Target("1 MB object, read", "big-object", "small", 1, 1, "read"),
    Target("64 MB blob, write", "blob", "large", 1, 1, "write"),
    Target("the same, until it is on the disk", "blob", "large", None, None, "to-disk"),
    Target("64 MB blob, read", "blob", "large", 1, 1, "read"),
    Target("hot attribute access", "read-hot", "small", 1, 1),
)
"""In the order of the report."""


BOUNDS = (
    Bound("import the package", "import", "small", "package", 0.1),
    Bound("import its database and file storage", "import", "small", ""),
    Bound("open 1,000,000 objects, closed properly", "open", "large", "", 0.5),
    Bound("open 1,000,000 objects, after ``kill -9``", "open-killed", "large", "", 0.5),
    Bound("the longest commit beside a pack of 300,000", *_PACK_COMMITS, "longest", 0.1),
    Bound("the 99th percentile of these commits", *_PACK_COMMITS, "p99"),
    Bound("the 99th percentile before the pack", *_PACK_COMMITS, "quiet-p99"),
    Bound("the 99th percentile of loads beside a pack", *_PACK_LOADS, "p99"),
    Bound("the 99th percentile before the pack", *_PACK_LOADS, "quiet-p99"),
    Bound(
        "the 99th percentile of 10 loads beside commits",
        "commit-beside-readers",
        "small",
        "readers-p99",
    ),
)
"""In the order of the report."""


def result_of(target: Target | Bound, results: list[Result]) -> Result | None:
    """Return the result that the target is about, if it was measured."""
    wanted = (target.workload, target.metric, target.size_number)
    for result in results:
        if (result.workload, result.metric, result.size) == wanted:
            return result
    return None


def reached(factor: float, ratio: float) -> bool:
    """Tell whether a ratio reaches a target."""
    return ratio >= (TOLERANCE if factor == 1 else factor)
