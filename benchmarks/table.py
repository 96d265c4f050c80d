"""The table of what was to be reached and what was, as rst, and its place in a page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.engines import BARE, DISK, NATIVE, ORIENTATION, PEER, PURE
from benchmarks.limits import limit, profile_of
from benchmarks.measure import Result
from benchmarks.report import time_text
from benchmarks.targets import BOUNDS, TARGETS, Bound, Target, reached, result_of

__all__ = ["BEGIN", "END", "as_targets_rst", "put"]

BEGIN, END = ".. measured: begin", ".. measured: end"
ORIENTATION_NAMES = {
    PEER: "ZODB, file storage",
    NATIVE: "Perdure, native code",
    PURE: "Perdure, pure Python",
    "sqlite": "SQLite, pickles by oid",
    "durus": "Durus",
    "zeo": "ZEO, server on this machine",
    "relstorage": "RelStorage on SQLite",
}
HEADINGS = ("workload", "target, native", "native", "target, pure", "pure Python")
BOUND_HEADINGS = ("time", "at most", "ZODB", "native", "pure Python")
FLOOR_HEADINGS = ("workload", "target, native", "native", "the disk", "the libraries")
FLOORS = (
    "How many times as fast as ZODB it would be to do nothing but what no database gets around, in",
    "the same run. *The disk*: one write and one sync of as many bytes. *The libraries*: that, and",
    "what the standard library's pickler in C, ``BTrees`` and the ``transaction`` package take for",
    "the same states. A target that is above that cannot be reached on this machine without doing",
    "less than they do.",
)


def as_targets_rst(results: Sequence[Result], machine: dict[str, str]) -> str:
    """Return facts about the machine, the tables, what misses and why, and the orientation."""
    lines = [f":{name}: {fact}" for name, fact in machine.items()]
    rows = list(_rows(list(results)))
    if rows:
        lines += ["", *_list_table([HEADINGS, *rows]), ""]
    bounds = list(_bounds(list(results)))
    if bounds:
        lines += ["How long it takes, and how long others wait:", ""]
        lines += [*_list_table([BOUND_HEADINGS, *bounds]), ""]
    missing = list(_misses(list(results)))
    if missing:
        lines += ["What misses its target, and what the limit is:", "", *missing, ""]
    floors = list(_floors(list(results)))
    if floors:
        lines += [*FLOORS, "", *_list_table([FLOOR_HEADINGS, *floors]), ""]
    others = list(_orientation(results))
    if others:
        lines += ["For orientation, the time of one object:", "", *_list_table(others), ""]
    return "\n".join(lines)


def put(path: Path, text: str) -> None:
    """Write `text` to `path`; in a page with the lines `BEGIN` and `END`, between these."""
    if path.exists():
        before, begin, rest = path.read_text().partition(BEGIN + "\n")
        _old, end, after = rest.partition(END + "\n")
        if begin and end:
            text = f"{before}{begin}\n{text}\n{end}{after}"
    path.write_text(text)


def _rows(results: list[Result]) -> Iterator[tuple[str, ...]]:
    for target in TARGETS:
        result = result_of(target, results)
        if result is not None:
            cells = [cell for engine in (NATIVE, PURE) for cell in _cells(target, result, engine)]
            yield (target.title, *cells)


def _cells(target: Target, result: Result, engine: str) -> tuple[str, str]:
    factor, ratio = target.factor(engine), result.ratio(engine, PEER)
    wanted = "" if factor is None else "not slower" if factor == 1 else f"{factor:g}x"
    if ratio is None:
        return wanted, result.missing.get(engine, "not run")
    if factor is not None and not reached(factor, ratio):
        return wanted, f"{ratio_text(ratio)}, misses"
    return wanted, f"**{ratio_text(ratio)}**" if factor is not None else ratio_text(ratio)


def _bounds(results: list[Result]) -> Iterator[tuple[str, ...]]:
    for bound in BOUNDS:
        result = result_of(bound, results)
        if result is not None:
            wanted = "" if bound.most_s is None else time_text(bound.most_s)
            times = [_time_cell(bound, result, engine) for engine in (PEER, NATIVE, PURE)]
            yield (bound.title, wanted, *times)


def _time_cell(bound: Bound, result: Result, engine: str) -> str:
    figure = result.figures.get(engine)
    if figure is None:
        return result.missing.get(engine, "not run")
    text = time_text(figure.median_s)
    if bound.most_s is None or engine == PEER:
        return text
    return f"**{text}**" if figure.median_s <= bound.most_s else f"{text}, misses"


def ratio_text(ratio: float) -> str:
    """Return a ratio with two or three digits that count."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def _misses(results: list[Result]) -> Iterator[str]:
    for target in TARGETS:
        result = result_of(target, results)
        if result is None:
            continue
        by_limit: dict[str, list[str]] = {}
        for engine, name in ((NATIVE, "native"), (PURE, "pure Python")):
            factor, ratio = target.factor(engine), result.ratio(engine, PEER)
            if factor is not None and ratio is not None and not reached(factor, ratio):
                by_limit.setdefault(limit(target.workload, target.metric, engine), []).append(name)
        profile = profile_of(target.workload)
        shown = f"; profile ``{profile}``" if profile else ""
        for reason, names in by_limit.items():
            yield f"- {target.title}, {' and '.join(names)}: {reason}{shown}"


def _floors(results: list[Result]) -> Iterator[tuple[str, ...]]:
    for target in TARGETS:
        result = result_of(target, results)
        if result is None or target.native is None:
            continue
        floors = [result.ratio(engine, PEER) for engine in (DISK, BARE)]
        if any(floors):
            yield (
                target.title,
                *_cells(target, result, NATIVE),
                *(_floor_cell(target.native, ratio) for ratio in floors),
            )


def _floor_cell(factor: float, ratio: float | None) -> str:
    if ratio is None:
        return ""
    return ratio_text(ratio) + ("" if reached(factor, ratio) else ", below it")


def _list_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [
            f"   {'*' if not column else ' '} - {cell}".rstrip() for column, cell in enumerate(row)
        ]
    return lines


def _orientation(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """One row for each engine, one column for each workload that others have, too."""
    shown = [
        result for result in results if not result.metric and set(ORIENTATION) & set(result.figures)
    ]
    if not shown:
        return
    yield ("", *(f"{result.name}, {result.size:,}" for result in shown))
    for engine in (PEER, NATIVE, PURE, *ORIENTATION):
        figures = [result.figures.get(engine) for result in shown]
        times = [time_text(figure.median_s) if figure else "not run" for figure in figures]
        yield (ORIENTATION_NAMES.get(engine, engine), *times)
