"""What keeps a figure from its target, by workload and metric.

Loads, additions, changes, insertions, undo, packing and small commits were profiled, by
instructions (callgrind) or processor time; what is inferred says so.

A line is shown only where the figure misses. Times are of the run whose figures
stand in ``README.rst``.
"""

from benchmarks.engines import NATIVE, PURE

__all__ = ["limit"]

_READ = {
    NATIVE: "8,970 instructions an object are left of ZODB's 120,000: 75 % make the state, 16 % "
    "are `persistent` calling its connection, 6 % index and record; behind the collector, which "
    "runs before, all begin with empty processor caches",
    PURE: "42,600 instructions an object, most of them the standard library's unpickler and what "
    "it takes to make one",
}
_TREE = {
    NATIVE: "36,000 instructions a lookup where ZODB takes 247,000; 63 % are the bucket's keys "
    "and texts and its `__setstate__`, which any database pays. A bucket takes 2.1 µs in warm "
    "processor caches, 4.5 to 5 in fresh memory: memory bounds it, it seems",
    PURE: "keys and texts of a bucket and its `__setstate__` are most of it, in the standard "
    "library's unpickler; inferred from native code, not profiled",
}
_FIXED = (
    "the sync is more than half of it, see the ratio without; the rest has a fixed part as large "
    "as ZODB's: {} three system calls beside the sync, the `transaction` package, and some 370 "
    "calls, none of which takes 5 %"
)
_CONFLICTS = (
    "the interpreter: merging takes 20 µs, may happen twice, and the object is loaded again each "
    "time; without any sync ZODB is faster here"
)

_LIMITS = {
    ("read-cold", ""): _READ,
    ("read-again", ""): _READ,
    ("add", "commit"): {
        NATIVE: "the sync, see the ratio without. Of 7,500 instructions an object beside it, where "
        "ZODB takes 117,000, 3,100 make the record and 1,570 are `persistent`'s own cache",
        PURE: "6.4 µs of processor time beside the sync; two fifths of the instructions are the "
        "pickler, which asks a `persistent_id` in Python for each of 16 values",
    },
    ("update", "commit"): {NATIVE: "the sync: 0.8 µs an object are left beside it"},
    ("tree-insert", ""): {
        NATIVE: "three quarters are the records of buckets: 45 keys and texts an insertion, a "
        "quarter of that the tuple which BTrees makes first; then the syncs",
    },
    ("tree-lookup", ""): _TREE,
    ("tree-scan", ""): {
        NATIVE: "as for lookups, but whole buckets are used: the bucket's own work is more of it; "
        "runs give 3.1 to 3.7"
    },
    ("commit-1", ""): {
        NATIVE: _FIXED.format("55 µs with one object, ZODB 47;"),
        PURE: _FIXED.format(""),
    },
    ("commit-8", ""): {
        NATIVE: "the interpreter: what 8 threads do between syncs, some 110 µs a commit, they do "
        "one after the other; 2,000 commits gave 2.6 to 3.0",
    },
    ("commit-8-slow", ""): {
        NATIVE: "what bounds it are the 2 ms that all 8 wait for",
        PURE: "what bounds it are the 2 ms that all 8 wait for",
    },
    ("commit-beside-readers", ""): {
        NATIVE: "a commit is its sync and some 0.2 ms of its own; each of its four returns from "
        "the system waits up to 150 µs for the interpreter. ZODB's time, 1 to 20 ms, sets the "
        "ratio",
        PURE: "the same, and readers that hold the interpreter for longer; ZODB's time sets the "
        "ratio",
    },
    ("commit-beside-readers", "readers"): {
        NATIVE: "they step aside a fifth of the time while a commit is under way, and share the "
        "interpreter with a writer that commits several times as often",
    },
    ("conflicts", ""): {NATIVE: _CONFLICTS, PURE: _CONFLICTS},
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


def limit(workload: str, metric: str, engine: str) -> str:
    """Return the limit in one line."""
    return _LIMITS.get((workload, metric), {}).get(engine, "not known yet").replace("`", "``")
