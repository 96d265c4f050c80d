"""Results as text: a table for the terminal, the same as rst, and JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.measure import Figure, Result

__all__ = ["as_json", "as_rst", "as_text"]

PEER = "zodb"
HEADINGS = ("workload", "size", "per", "zodb", "min-max", "perdure", "min-max", "ratio")


def _time(seconds: float) -> str:
    """Return a time in the unit that leaves it readable."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _spread(figure: Figure) -> str:
    return f"{_time(min(figure.rounds_s))}-{_time(max(figure.rounds_s))}"


def _row(result: Result) -> tuple[str, ...]:
    cells: list[str] = [result.name, f"{result.size:,}", result.unit]
    for engine in (PEER, "perdure"):
        figure = result.figures.get(engine)
        if figure is None:
            cells += [result.missing.get(engine, "not run"), ""]
        else:
            cells += [_time(figure.median_s), _spread(figure)]
    ratio = result.ratio("perdure", PEER)
    return (*cells, "" if ratio is None else f"{ratio:.2f}")


def as_text(results: Sequence[Result]) -> str:
    """Return the results as a table, names to the left and figures to the right."""
    rows = [HEADINGS, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in (0, 2) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_rst(results: Sequence[Result], machine: dict[str, str]) -> str:
    """Return machine and results as a field list and a ``list-table``."""
    lines = [f":{name}: {fact}" for name, fact in machine.items()]
    lines += ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in [HEADINGS, *map(_row, results)]:
        lines += [f"   {'*' if not column else ' '} - {cell}" for column, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def as_json(results: Sequence[Result], machine: dict[str, str]) -> str:
    """Return machine and results as JSON, times in seconds per operation."""
    content = {
        "machine": machine,
        "results": [
            {
                **asdict(result),
                "median_s": {name: figure.median_s for name, figure in result.figures.items()},
                "ratio": result.ratio("perdure", PEER),
            }
            for result in results
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
