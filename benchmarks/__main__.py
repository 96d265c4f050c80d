"""The command: ``python -m benchmarks``, from the root of the source tree."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from benchmarks import allocator
from benchmarks.engines import ENGINES
from benchmarks.machine import describe
from benchmarks.measure import Result, measure
from benchmarks.report import as_json, as_rst, as_text
from benchmarks.syncs import slowed
from benchmarks.workload import WORKLOADS, Stopwatch, Workload

__all__ = ["main"]

SIZES = ("small", "large", "quick", "tiny")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    names = "\n".join(f"  {each.name:22} {each.description}" for each in WORKLOADS.values())
    result = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time Perdure against ZODB, round by round in turns. "
        "A ratio is ZODB's time over Perdure's: more than 1 is faster.",
        epilog=f"workloads:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--quick", action="store_true", help="3 rounds at one small size, under a minute"
    )
    result.add_argument(
        "--only", action="append", metavar="NAME", help="a workload, or the beginning of names"
    )
    result.add_argument(
        "--sizes", default="small,large", help="sizes to run, of: " + ", ".join(SIZES)
    )
    result.add_argument("--rounds", type=int, help="rounds that count (default: 9)")
    result.add_argument(
        "--engines", default="zodb,perdure", help="what to time (default: zodb,perdure)"
    )
    result.add_argument("--place", type=Path, help="directory on the disk to use")
    result.add_argument(
        "--slow-syncs", type=float, default=0.0, metavar="MS", help="make every sync take longer"
    )
    result.add_argument(
        "--gc",
        choices=["on", "off"],
        default="on",
        help="the garbage collector while timing (it runs before, in either case)",
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    result.add_argument("--rst", type=Path, metavar="FILE", help="write the table as rst")
    return result


def chosen(only: Sequence[str] | None) -> list[Workload]:
    """Return the workloads of these names or beginnings of names; all without any."""
    if not only:
        return list(WORKLOADS.values())
    for name in only:
        if not any(known.startswith(name) for known in WORKLOADS):
            raise SystemExit(f"no workload begins with {name!r}; there are {', '.join(WORKLOADS)}")
    return [
        workload
        for name, workload in WORKLOADS.items()
        if name in only or any(name.startswith(begin) and begin not in WORKLOADS for begin in only)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, return the exit code."""
    import_module("benchmarks.workloads")  # registers them
    options = parser().parse_args(arguments)
    sizes = ("quick",) if options.quick else tuple(options.sizes.split(","))
    rounds = options.rounds or (3 if options.quick else 9)
    engines = [ENGINES[name] for name in options.engines.split(",")]
    workloads = chosen(options.only)
    Stopwatch.collecting = options.gc == "on"
    logging.disable()  # neither product's log is what is timed
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="perdure-", dir=options.place))
        )
        machine = describe(place)
        machine["garbage collector"] = options.gc
        machine["allocator"] = allocator.settle()
        print("\n".join(f"{name}: {fact}" for name, fact in machine.items()), flush=True)
        if options.slow_syncs:
            # Before the replacement, what replaces must be loaded everywhere.
            for engine in engines:
                engine.get("FileStorage")
            stack.enter_context(slowed(options.slow_syncs / 1000))
        results: list[Result] = []
        for workload in workloads:
            for size in workload.sizes.chosen(sizes):
                start = time.perf_counter()
                results += measure(workload, engines, size, rounds, place)
                took_s = time.perf_counter() - start
                print(f"{workload.name} {size:,}: {took_s:.1f} s", file=sys.stderr, flush=True)
    print(f"\n{as_text(results)}")
    if options.json:
        options.json.write_text(as_json(results, machine))
    if options.rst:
        options.rst.write_text(as_rst(results, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
