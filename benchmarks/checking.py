"""How fast a check is beside a plain read: ``python -m benchmarks.checking``.

One file is read as `cat` does, and checked with and without its references, in turns; once
while the system has it in its cache, and once after it has forgotten it. The figures are
medians; the share is the median of the shares of single rounds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.engines import ENGINES, FILE_NAME, NATIVE
from benchmarks.filling import fill_file
from benchmarks.reading import forget, read_plainly
from perdure.tools import check_file

__all__ = ["main"]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checking", description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each (default: 9)")
    parser.add_argument("--place", type=Path, help="a directory on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perdure-", dir=options.place) as place:
        fill_file(ENGINES[NATIVE], Path(place), options.objects).close()
        path = Path(place, FILE_NAME)
        print(f"{options.objects:,} objects, {path.stat().st_size / 1e6:,.0f} MB")
        for name, prepare in (("cached", read_plainly), ("cold", forget)):
            _print(name, path, _measured(path, options.rounds, prepare))


def _measured(path: Path, rounds: int, prepare: Callable[[Path], object]) -> dict[str, list[float]]:
    work: dict[str, Callable[[], object]] = {
        "plain read": partial(read_plainly, path),
        "check": partial(check_file, path),
        "without references": partial(check_file, path, follow_references=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, function in work.items():
            prepare(path)
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _print(state: str, path: Path, seconds: dict[str, list[float]]) -> None:
    megabytes, reading = path.stat().st_size / 1e6, seconds["plain read"]
    for name, taken in seconds.items():
        share = median(read / each for read, each in zip(reading, taken, strict=True))
        print(f"{state:8} {name:20} {megabytes / median(taken):>8,.0f} MB/s {share:>6.0%}")


if __name__ == "__main__":
    main()
