"""The options of the command, read and checked before anything is measured.

A run can take an hour: what cannot end well is refused at its beginning.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.engines import BARE, DISK, ENGINES, NATIVE, ORIENTATION, PEER, PURE
from benchmarks.table import BEGIN, END
from benchmarks.targets import BOUNDS, TARGETS
from benchmarks.workload import WORKLOADS, Workload

__all__ = ["INSTALL", "options_from", "work"]

INSTALL = "pip install '.[benchmarks]'"
SIZES = ("small", "large", "quick", "tiny")


def options_from(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, all of which can be carried out; end the program otherwise.

    `engines` and `sizes` are tuples of names, and so is `beside`, engines that have some workloads
    only; `work` is what is to be measured, workloads and sizes.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    options.beside = (
        *(ORIENTATION if options.orientation else ()),
        *((DISK, BARE) if options.floors else ()),
    )
    options.work = [] if options.sources else list(work(options))
    if problem := next(_problems(options), None):
        parser.error(problem)
    return options


def work(options: argparse.Namespace) -> Iterator[tuple[Workload, int]]:
    """Yield what the options ask for: workloads and sizes."""
    workloads = _chosen(options.only)
    if options.table:
        wanted = [(row.workload, row.size_number) for row in (*TARGETS, *BOUNDS)]
    else:
        sizes = ("quick",) if options.quick else options.sizes
        wanted = [(each.name, size) for each in workloads for size in each.sizes.chosen(sizes)]
    for name, size in dict.fromkeys(wanted):
        if WORKLOADS[name] in workloads:
            yield WORKLOADS[name], size


def _parser() -> argparse.ArgumentParser:
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
        "--only",
        action="append",
        type=_known_beginning,
        metavar="NAME",
        help="a workload, or the beginning of names",
    )
    result.add_argument(
        "--sizes",
        type=_names_of(SIZES, "size"),
        default=("small", "large"),
        metavar="NAMES",
        help="sizes to run, of: " + ", ".join(SIZES) + " (default: small,large)",
    )
    result.add_argument("--rounds", type=_count, help="rounds that count (default: 9)")
    result.add_argument(
        "--table", action="store_true", help="only what has a target, at the size of the target"
    )
    result.add_argument(
        "--engines",
        type=_names_of(tuple(ENGINES), "engine"),
        default=(PEER, NATIVE, PURE),
        metavar="NAMES",
        help="what to time, of: "
        + ", ".join(ENGINES)
        + f" (default: {PEER},{NATIVE},{PURE}); one alone runs in this process, where a "
        "profiler sees it",
    )
    result.add_argument(
        "--orientation",
        action="store_true",
        help="time other databases, too, with those workloads that they have",
    )
    result.add_argument(
        "--floors",
        action="store_true",
        help="time what no database gets around, too: the disk, the libraries that all use",
    )
    result.add_argument(
        "--place", type=_directory, metavar="DIRECTORY", help="directory on the disk to use"
    )
    result.add_argument(
        "--slow-syncs",
        type=_milliseconds,
        default=0.0,
        metavar="MS",
        help="make every sync take longer",
    )
    result.add_argument(
        "--gc",
        choices=["on", "off"],
        default="on",
        help="the garbage collector while timing (it runs before, in either case)",
    )
    result.add_argument("--json", type=_output, metavar="FILE", help="write the results as JSON")
    result.add_argument(
        "--rst",
        type=_output,
        metavar="FILE",
        help="write machine, targets and what was reached as rst; in a page with the lines "
        f"'{BEGIN}' and '{END}', between these",
    )
    result.add_argument("--svg", type=_output, metavar="FILE", help="draw the same as a bar chart")
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


def _problems(options: argparse.Namespace) -> Iterator[str]:
    """Yield why the options together cannot be carried out."""
    if options.sources:
        return
    if not options.work:
        yield "there is nothing to measure: --only and --table have no workload in common"
    targets = {(row.workload, row.size_number) for row in TARGETS}
    if options.svg and not targets.intersection((each.name, size) for each, size in options.work):
        yield "--svg draws what has a target, see --table, and nothing of that is to be measured"
    if PEER in options.engines and find_spec("ZODB") is None:
        yield f"ZODB is not installed: {INSTALL}, or do without, --engines {NATIVE},{PURE}"


def _chosen(only: Sequence[str] | None) -> list[Workload]:
    """Return the workloads of these names or beginnings of names; all without any."""
    if not only:
        return list(WORKLOADS.values())
    return [
        workload
        for name, workload in WORKLOADS.items()
        if name in only or any(name.startswith(begin) and begin not in WORKLOADS for begin in only)
    ]


def _known_beginning(text: str) -> str:
    if not any(known.startswith(text) for known in WORKLOADS):
        raise argparse.ArgumentTypeError(
            f"no workload begins with {text!r}; there are {', '.join(WORKLOADS)}"
        )
    return text


def _names_of(known: tuple[str, ...], what: str) -> Callable[[str], tuple[str, ...]]:
    """Return what reads names with commas between them, all of which are `known`."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(text.split(",")))
        unknown = [repr(name) for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"no {what} {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return found

    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _milliseconds(text: str) -> float:
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = -1
    if not 0 <= milliseconds < 60_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds")
    return milliseconds


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} is not a directory that can be written to")
    return path


def _output(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path
