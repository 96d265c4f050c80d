"""Blobs: a file that is written, committed, and read in pieces of a megabyte."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.engines import Engine
from benchmarks.objects import connected
from benchmarks.workload import Round, Sample, Sizes, Stopwatch, check, workload

__all__: list[str] = []

PIECE = bytes(range(256)) * 4096  # 1 MB
READS = 9


@workload("blob", "MB", Sizes(small=1, large=64, quick=1, tiny=1), most_rounds=9)
def blob(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Write a blob of SIZE MB and commit it, then read it in another connection.

    `write` ends with the commit, which may leave the blob in the system's cache;
    `to-disk` ends when the file has been synced, by whom else if not by the commit. `read` is
    the median of a few: one takes some milliseconds, which anything else on the machine doubles.
    """
    make_blob = engine.get("Blob")
    path, blobs = directory / "data.fs", directory / "blobs"
    db = engine.get("DB")(engine.get("FileStorage")(str(path), blob_dir=str(blobs)))

    def once() -> dict[str, Sample]:
        with connected(db) as (manager, connection), Stopwatch():
            start = time.perf_counter()
            connection.root.blob = written = make_blob()
            with written.open("w") as file:
                for _ in range(size):
                    file.write(PIECE)
            manager.commit()
            committed = time.perf_counter()
            with open(written.committed(), "rb") as file:
                os.fsync(file.fileno())
            synced = time.perf_counter()
        with connected(db) as (_, connection):
            reads = []
            with Stopwatch():
                for _ in range(READS):
                    start_of_read, read = time.perf_counter(), 0
                    with connection.root.blob.open("r") as file:
                        while piece := file.read(len(PIECE)):
                            read += len(piece)
                    reads.append(time.perf_counter() - start_of_read)
                    check("bytes read", read, size * len(PIECE))
        return {
            "write": Sample(committed - start, size),
            "to-disk": Sample(synced - start, size),
            "read": Sample(median(reads), size),
        }

    yield once
    db.close()
