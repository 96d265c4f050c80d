"""The command: ``python -m benchmarks``, from the root of the source tree."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from benchmarks.chart import as_svg
from benchmarks.engines import ENGINES, NATIVE, ORIENTATION, PEER, PURE
from benchmarks.machine import describe
from benchmarks.measure import Result, measure
from benchmarks.report import as_json, as_text, from_json, merged, merged_machines
from benchmarks.session import LocalSession, RemoteSession, Session, Settings
from benchmarks.table import BEGIN, END, as_targets_rst, put
from benchmarks.targets import BOUNDS, TARGETS
from benchmarks.workload import WORKLOADS, Workload

__all__ = ["main"]

SIZES = ("small", "large", "quick", "tiny")
ORIENTED = ("add", "read-cold")  # the workloads that other databases have


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
        "--quick", action="store_true", help="3 rounds at one small size, a few minutes"
    )
    result.add_argument(
        "--only", action="append", metavar="NAME", help="a workload, or the beginning of names"
    )
    result.add_argument(
        "--sizes", default="small,large", help="sizes to run, of: " + ", ".join(SIZES)
    )
    result.add_argument("--rounds", type=int, help="rounds that count (default: 9)")
    result.add_argument(
        "--table", action="store_true", help="only what has a target, at the size of the target"
    )
    result.add_argument(
        "--engines",
        default=",".join((PEER, NATIVE, PURE)),
        metavar="NAMES",
        help="what to time, of: " + ", ".join(ENGINES) + " (default: %(default)s); "
        "one alone runs in this process, where a profiler sees it",
    )
    result.add_argument(
        "--orientation",
        action="store_true",
        help="time other databases, too, with those workloads that they have",
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
    result.add_argument(
        "--rst",
        type=Path,
        metavar="FILE",
        help="write machine, targets and what was reached as rst; in a page with the lines "
        f"'{BEGIN}' and '{END}', between these",
    )
    result.add_argument("--svg", type=Path, metavar="FILE", help="draw the same as a bar chart")
    result.add_argument(
        "--from",
        dest="sources",
        action="append",
        type=Path,
        metavar="FILE",
        help="measure nothing, but report what earlier runs wrote with --json; of what several "
        "have, the last counts",
    )
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


def work(options: argparse.Namespace) -> Iterator[tuple[Workload, int]]:
    """Yield what the options ask for: workloads and sizes."""
    workloads = chosen(options.only)
    if options.table:
        wanted = [(row.workload, row.size_number) for row in (*TARGETS, *BOUNDS)]
    else:
        sizes = ("quick",) if options.quick else tuple(options.sizes.split(","))
        wanted = [(each.name, size) for each in workloads for size in each.sizes.chosen(sizes)]
    for name, size in dict.fromkeys(wanted):
        if WORKLOADS[name] in workloads:
            yield WORKLOADS[name], size


def run(options: argparse.Namespace) -> tuple[list[Result], dict[str, str]]:
    """Measure what the options ask for; return the results and facts about the machine."""
    rounds = options.rounds or (3 if options.quick else 9)
    names = options.engines.split(",")
    settings = Settings(options.gc == "on", options.slow_syncs / 1000)
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="perdure-", dir=options.place))
        ).resolve()
        machine = {**describe(place), "garbage collector": options.gc, "rounds": str(rounds)}
        print("\n".join(f"{name}: {fact}" for name, fact in machine.items()), flush=True)
        make = LocalSession if len(names) == 1 and not options.orientation else RemoteSession
        sessions: dict[str, Session] = {}
        for name in dict.fromkeys((*names, *(ORIENTATION if options.orientation else ()))):
            sessions[name] = make(ENGINES[name], settings)
            stack.callback(sessions[name].close)
        results: list[Result] = []
        for workload, size in work(options):
            start = time.perf_counter()
            asked = {
                name: session
                for name, session in sessions.items()
                if name not in ORIENTATION or name in names or workload.name in ORIENTED
            }
            measured = measure(workload, asked, size, rounds, place)
            took_s = time.perf_counter() - start
            print(f"{workload.name} {size:,}: {took_s:.1f} s", file=sys.stderr, flush=True)
            for name, reason in measured[0].missing.items():
                print(f"  without {name}: {reason}", file=sys.stderr, flush=True)
            results += measured
    return results, machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, return the exit code."""
    import_module("benchmarks.workloads")  # registers them
    options = parser().parse_args(arguments)
    unknown = set(options.engines.split(",")) - set(ENGINES)
    if unknown:
        raise SystemExit(f"no engine {', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}")
    logging.disable()  # no product's log is what is timed
    if options.sources:
        runs = [from_json(path) for path in options.sources]
        results = merged([results for results, _ in runs])
        machine = merged_machines([machine for _, machine in runs])
    else:
        results, machine = run(options)
    print(f"\n{as_text(results)}")
    if options.json:
        options.json.write_text(as_json(results, machine))
    if options.rst:
        put(options.rst, as_targets_rst(results, machine))
    if options.svg:
        options.svg.write_text(as_svg(results, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
