"""Checking a file, beside reading it and doing nothing with it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.engines import FILE_NAME, Engine
from benchmarks.filling import fill_file
from benchmarks.reading import forget, read_plainly
from benchmarks.workload import Round, Sample, Sizes, Stopwatch, check, workload

__all__: list[str] = []


@workload("check", "object", Sizes(20_000, 1_000_000, 5_000, 500), most_rounds=5)
def check_of_file(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Check a file of SIZE objects: its structure by ZODB's `fstest`, all by `perdure check`."""
    fill_file(engine, directory, size).close()
    path = directory / FILE_NAME
    megabytes = path.stat().st_size / 1e6
    checking, expected = _check_of(engine, path, size)

    def timed(work: Callable[[], object], done: object, cold: bool) -> float:
        if cold:
            forget(path)
        with Stopwatch() as watch:
            result = work()
        check("result", result, done)
        return watch.seconds

    def once() -> dict[str, Sample]:
        reading, all_of_it = partial(read_plainly, path), path.stat().st_size
        read_cold_s = timed(reading, all_of_it, cold=True)
        cold_s = timed(checking, expected, cold=True)
        read_s = timed(reading, all_of_it, cold=False)
        check_s = timed(checking, expected, cold=False)
        return {
            "": Sample(check_s, size),
            "hot": Sample(check_s, megabytes, "MB"),
            "hot-read": Sample(read_s, megabytes, "MB"),
            "cold": Sample(cold_s, megabytes, "MB"),
            "cold-read": Sample(read_cold_s, megabytes, "MB"),
        }

    yield once


def _check_of(engine: Engine, path: Path, size: int) -> tuple[Callable[[], object], object]:
    """Return what checks the file, and what it gives if the file is sound."""
    if engine.product == "perdure":
        from perdure.tools import check_file

        def checked() -> tuple[int, bool]:
            found = check_file(path)
            return found.objects, found.sound

        return checked, (size + 2, True)  # the root and the first record come on top
    from ZODB.scripts import fstest

    return partial(fstest.check, str(path)), None
