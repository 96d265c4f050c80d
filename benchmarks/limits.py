"""What keeps a figure from its target, by workload and metric.

Loads, additions, changes, insertions, undo, packing and small commits were profiled, by
instructions (callgrind) or processor time; what is inferred says so.

A line is shown only where the figure misses, with the name of the profile that shows it. Times
are of the run whose figures stand in ``README.rst``.
"""

from benchmarks.engines import NATIVE, PURE

__all__ = ["limit", "profile_of"]

_READ = {
    NATIVE: "6,680 instructions an object from its call on are left of ZODB's 120,000: 4,740 make "
    "the state, 1,410 are `persistent` calling its connection, 310 the record; behind the "
    "collector, which runs before, all begin with empty processor caches",
    PURE: "43,000 instructions an object, most of them the standard library's unpickler, what it "
    "takes to prepare it, and `persistent`'s calls",
}
_LOOKUP = {
    NATIVE: "20,000 instructions a lookup where ZODB takes 247,000, most of them for the bucket's "
    "texts; the processor waits for the memory that these go to",
    PURE: "keys and texts of a bucket and its `__setstate__` are most of it, in the standard "
    "library's unpickler; inferred from native code, not profiled",
}
_FIXED = (
    "the sync is more than half of it, see the ratio without{}; the rest has a fixed part as large "
    "as ZODB's, 48 µs of processor time with one object: three system calls beside the sync, the "
    "`transaction` package, and some 300 calls, none of which takes 5 %"
)

_LIMITS = {
    ("read-cold", ""): _READ,
    ("read-again", ""): _READ,
    ("add", "commit"): {
        NATIVE: "the sync, see the ratio without: of 340 KB on a file that grows it takes 0.3 ms "
        "or more, the best of 100; 10 times would be 1.2 µs an object with it. Of 6,700 "
        "instructions an object beside it, where ZODB takes 117,000, 3,100 make the record, 770 "
        "enter the cache",
        PURE: "two fifths of the instructions are the pickler, which asks a `persistent_id` in "
        "Python for each of 16 values; the sync, see the ratio without",
    },
    ("update", "commit"): {NATIVE: "the sync: 0.8 µs an object are left beside it"},
    ("tree-insert", ""): {
        NATIVE: "2.0 µs of processor time an insertion, 0.65 of BTrees' own, and 0.8 to 1.2 for "
        "the sync of 0.9 MB a commit, half of which is the file growing",
    },
    ("tree-lookup", ""): _LOOKUP,
    ("tree-scan", ""): {
        NATIVE: "as for lookups; the interpreter's loop and the tree's own items are most of the "
        "rest. Rounds take 17 ms or 27, in one process, where ZODB always takes 57: runs give "
        "2.3 to 3.5, of 10,000 items 3.8 to 4.3. It is memory, not known more closely"
    },
    ("commit-1", ""): {
        NATIVE: _FIXED.format(": of 222 µs it takes 133, where 4 times would be 139"),
        PURE: _FIXED.format(""),
    },
    ("commit-8", ""): {
        NATIVE: "the interpreter: what 8 threads do between syncs, some 90 µs a commit, they do "
        "one after the other",
    },
    ("commit-8-slow", ""): {
        NATIVE: "what bounds it are the 2 ms that all 8 wait for",
        PURE: "the interpreter: 6 commits share a sync of 2 ms (counted), and what they do beside "
        "it, one after the other and handing over from thread to thread, takes as long",
    },
    ("commit-beside-readers", ""): {
        NATIVE: "alone a commit takes 0.22 ms, of which the sync is 0.13: 15 times ZODB's speed "
        "would be 0.10, less than the sync. ZODB's time sets the ratio: 1.1 ms on an idle machine, "
        "5 to 20 beside other work, where Perdure takes 0.3 to 0.5",
        PURE: "readers cannot know that a commit is back from the system, so they step aside all "
        "the time, every 30 µs for 20, which become 70. ZODB's time sets the ratio: 1.1 ms on an "
        "idle machine, 5 to 20 beside other work, where Perdure takes 0.45 to 0.7",
    },
    ("commit-beside-readers", "readers"): {
        NATIVE: "they step aside when the commit is back, and share the interpreter with a writer "
        "that commits several times as often",
    },
    ("conflicts", ""): {
        NATIVE: "the interpreter: four threads share one sync, 0.25 a commit; the other 120 to "
        "140 µs of a commit they do one after the other, some 400 calls, of which merging and "
        "loading again are a fifth. Without any merging it would be 2.4",
        PURE: "the interpreter, as with native code",
    },
    ("history", ""): {
        NATIVE: "the processor of that run: others give 6 to 8; 17 µs, or 26 in the same run",
        PURE: "a dictionary for each of 20 revisions, and their texts",
    },
    ("undo", ""): {
        NATIVE: "the sync, see the ratio without. Of 0.9 µs an object beside it, where ZODB takes "
        "4.8, most read both revisions, from memory that was not in the processor's caches",
        PURE: "the sync, see the ratio without, and planning, record by record",
    },
    ("pack", ""): {
        PURE: "two fifths of it are the references, which the standard library's unpickler takes, "
        "and most of the rest is Python for each record; other runs gave 3.5 to 3.7"
    },
    ("open-killed", ""): {
        PURE: "11 ms of processor time, of which 4 load the index and 7 scan the 9,000 records "
        "behind it, 0.8 µs each in Python"
    },
    ("big-object", "write"): {
        NATIVE: "the spread is larger than the difference; other runs give 1.2",
        PURE: "the spread is larger than the difference",
    },
    ("blob", "write"): {
        NATIVE: "the disk's time: Perdure's commit includes the sync to the disk, see below",
        PURE: "the disk's time: Perdure's commit includes the sync to the disk, see below",
    },
    ("blob", "read"): {
        NATIVE: "the system's time: the same 64 reads of 46 µs in both",
        PURE: "the system's time: the same 64 reads of 46 µs in both",
    },
    ("read-hot", ""): {
        NATIVE: "the code of `persistent` in all three; runs give 0.96 to 1.07",
        PURE: "the code of `persistent` in all three; runs give 0.96 to 1.07",
    },
}


_PROFILES = {
    **{name: name for name in ("add", "update", "read-again", "history", "undo", "pack")},
    **{name: name for name in ("tree-insert", "tree-lookup", "tree-scan")},
    "commit-1": "commit",
    "commit-8": "commit",
    "commit-8-slow": "commit",
    "commit-beside-readers": "commit",
    "conflicts": "conflict",
    "read-cold": "read-again",
}


def profile_of(workload: str) -> str:
    """Return which profile of `benchmarks.profiles` shows the limit; empty if none does."""
    return _PROFILES.get(workload, "")


def limit(workload: str, metric: str, engine: str) -> str:
    """Return the limit in one line."""
    return _LIMITS.get((workload, metric), {}).get(engine, "not known yet").replace("`", "``")
