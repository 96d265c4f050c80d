"""What keeps a figure from its target, by workload and metric.

Inserts, undo, commits in one thread and cold reads were profiled; the other reasons are
inferred from the same parts of the code.

A line is shown only where the figure misses. Times are of the run whose figures
stand in ``README.rst``.
"""

from benchmarks.engines import NATIVE, PURE

__all__ = ["limit"]

_READ = {
    NATIVE: "3 µs are left; in a tight loop 2.2, of which 1.3 are the read (0.5 the system's) and "
    "0.7 the state. Where the other 0.8 are is not known. ZODB takes 12 µs here, where it took 22 "
    "when the target was set",
    PURE: "6 µs are left; in a tight loop 5.4, of which 2.1 are the read and 2.5 the unpickling",
}
_TREE = "a bucket has some 60 keys and texts, which have to be made with any database"
_SYNC = "every commit has its own sync, about half of its time"

_LIMITS = {
    ("read-cold", ""): _READ,
    ("read-again", ""): _READ,
    ("add", "commit"): {
        NATIVE: "the sync is a quarter of it, see the ratio without; what bounds the rest is "
        "not known yet",
        PURE: "pickling and storing in Python; what more can be saved is not known yet",
    },
    ("update", "commit"): {
        NATIVE: "the sync is a fifth of it, see below the ratio without; runs give 4.1 to 5.8"
    },
    ("tree-insert", ""): {
        NATIVE: "in a profile, making and storing the records of buckets, with all texts, is "
        "42 %, syncs 11 %, `readCurrent`, which BTrees call for most insertions, in Python 16 %",
    },
    ("tree-lookup", ""): {NATIVE: _TREE, PURE: _TREE},
    ("tree-scan", ""): {NATIVE: _TREE},
    ("commit-1", ""): {
        NATIVE: "the sync is more than half of it, see the ratio without; the rest is hundreds of "
        "short calls in Python (`transaction`, connection, storage), none of which stands out",
        PURE: "the sync is more than half of it",
    },
    ("commit-8-slow", ""): {
        NATIVE: "runs give 3.9 to 4.5; what bounds it are the 2 ms that all 8 wait for",
        PURE: "runs give 3.6 to 4.7; what bounds it are the 2 ms that all 8 wait for",
    },
    ("commit-beside-readers", ""): {
        NATIVE: "a commit takes 0.6 to 1 ms, half of it the sync. "
        "ZODB's time, 4 to 11 ms, sets the ratio: runs give 6 to 10",
    },
    ("commit-beside-readers", "readers"): {
        NATIVE: "readers give way to the writer, which commits six to ten times as often",
    },
    ("conflicts", ""): {NATIVE: _SYNC, PURE: _SYNC},
    ("history", ""): {PURE: "a dictionary for each of 20 revisions, and their texts"},
    ("undo", ""): {
        NATIVE: "the sync, see the ratio without. Of 1.1 µs an object beside it, where ZODB takes "
        "4.4, 0.5 read both revisions, mostly from memory that was not in the processor's caches",
        PURE: "the sync, see the ratio without. Of 2.6 µs an object beside it, where ZODB takes "
        "4.4, planning is 1.4",
    },
    ("pack", ""): {
        PURE: "of 2.2 µs of processor time an object, 0.8 are the references, by the standard "
        "library's unpickler, and 0.5 the copy"
    },
    ("big-object", "write"): {
        NATIVE: "the spread is larger than the difference; other runs give 1.2",
        PURE: "the spread is larger than the difference",
    },
    ("blob", "read"): {
        NATIVE: "the system's time; runs give 0.93 to 1.06",
        PURE: "the system's time; runs give 0.90 to 1.03",
    },
    ("read-hot", ""): {
        NATIVE: "not known: it is the code of `persistent` in all three. Runs give 0.82 to 0.99",
        PURE: "not known: it is the code of `persistent` in all three. Runs give 0.83 to 0.92",
    },
}


def limit(workload: str, metric: str, engine: str) -> str:
    """Return the limit in one line."""
    return _LIMITS.get((workload, metric), {}).get(engine, "not known yet").replace("`", "``")
