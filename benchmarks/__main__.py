"""The command: ``python -m benchmarks``, from the root of the source tree."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.chart import as_svg
from benchmarks.engines import ENGINES, has_workload
from benchmarks.machine import describe
from benchmarks.measure import Result, measure
from benchmarks.options import INSTALL, options_from
from benchmarks.report import as_json, as_text, from_json, merged, merged_machines
from benchmarks.session import (
    LocalSession,
    RemoteSession,
    Session,
    SessionFailedError,
    Settings,
)
from benchmarks.table import as_targets_rst, put
from benchmarks.workload import Workload

__all__ = ["main"]


@dataclass
class Run:
    """What was measured, on which machine, and why it was not all, if it was not."""

    results: list[Result]
    machine: dict[str, str] = field(default_factory=dict)
    ended_early: str = ""


def run(options: argparse.Namespace) -> Run:
    """Measure what the options ask for, until that is done, fails or is interrupted."""
    rounds = options.rounds or (3 if options.quick else 9)
    done = Run([])
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="perdure-", dir=options.place))
        ).resolve()
        facts = {"garbage collector": options.gc, "rounds": str(rounds)}
        try:
            done.machine = {**describe(place), **facts}
            print("\n".join(f"{name}: {fact}" for name, fact in done.machine.items()), flush=True)
            sessions = _sessions(options, stack)
            for number, (workload, size) in enumerate(options.work, 1):
                progress = f"[{number}/{len(options.work)}] {workload.name} {size:,}: "
                print(progress, end="", file=sys.stderr, flush=True)
                asked = {
                    name: session
                    for name, session in sessions.items()
                    if name in options.engines or has_workload(name, workload.name)
                }
                done.results += _timed(workload, asked, size, rounds, place)
        except KeyboardInterrupt:
            done.ended_early = "interrupted"
        except SessionFailedError as error:
            done.ended_early = str(error)
    return done


def _sessions(options: argparse.Namespace, stack: ExitStack) -> dict[str, Session]:
    settings = Settings(options.gc == "on", options.slow_syncs / 1000)
    names = dict.fromkeys((*options.engines, *options.beside))
    make = LocalSession if len(names) == 1 else RemoteSession
    sessions: dict[str, Session] = {}
    for name in names:
        sessions[name] = make(ENGINES[name], settings)
        stack.callback(sessions[name].close)
    return sessions


def _timed(
    workload: Workload, asked: Mapping[str, Session], size: int, rounds: int, place: Path
) -> list[Result]:
    """Measure, and finish the line that says what is being done."""
    start = time.perf_counter()
    measured = measure(workload, asked, size, rounds, place)
    print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    for name, reason in measured[0].missing.items():
        print(f"  without {name}: {reason}", file=sys.stderr, flush=True)
    return measured


def read(sources: Sequence[Path]) -> Run:
    """Return what earlier runs measured; end the program if one of them is none."""
    runs = []
    for path in sources:
        try:
            runs.append(from_json(path))
        except OSError as error:
            raise SystemExit(f"{path}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError):
            raise SystemExit(f"{path}: not what --json writes") from None
    results = merged([results for results, _ in runs])
    return Run(results, merged_machines([machine for _, machine in runs]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, return the exit code."""
    if find_spec("perdure") is None:
        raise SystemExit(f"Perdure is not installed: {INSTALL}")
    import_module("benchmarks.workloads")  # registers them
    options = options_from(arguments)
    logging.disable()  # no product's log is what is timed
    done = read(options.sources) if options.sources else run(options)
    if done.results:
        print(f"\n{as_text(done.results)}")
    if options.json:
        options.json.write_text(as_json(done.results, done.machine))
    if done.ended_early:
        # Half a run is not put in the place of a whole one.
        print(f"\nended early: {done.ended_early}", file=sys.stderr)
        return 1
    if options.rst:
        put(options.rst, as_targets_rst(done.results, done.machine))
    if options.svg:
        try:
            options.svg.write_text(as_svg(done.results, done.machine))
        except ValueError as error:
            raise SystemExit(f"--svg: {error}") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
