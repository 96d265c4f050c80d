"""Results as text: a table for the terminal, the same as rst, and JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.engines import NATIVE, PEER, PURE
from benchmarks.measure import Figure, Result

__all__ = ["as_json", "as_text", "from_json", "merged", "merged_machines", "time_text"]

_COMPARED = (NATIVE, PURE)  # with `PEER`; others promise other things


def time_text(seconds: float) -> str:
    """Return a time in the unit that leaves it readable."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _spread(figure: Figure) -> str:
    return f"{time_text(min(figure.rounds_s))}-{time_text(max(figure.rounds_s))}"


def _engines(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(name for result in results for name in result.engines))


def _headings(engines: Sequence[str]) -> tuple[str, ...]:
    cells = ["workload", "size", "per"]
    for engine in engines:
        cells += [engine, "min-max", *(["ratio"] if engine in _COMPARED else [])]
    return tuple(cells)


def _row(result: Result, engines: Sequence[str]) -> tuple[str, ...]:
    cells = [result.name, f"{result.size:,}", result.unit]
    for engine in engines:
        figure = result.figures.get(engine)
        if figure is None:
            cells += [result.missing.get(engine, ""), ""]
        else:
            cells += [time_text(figure.median_s), _spread(figure)]
        if engine in _COMPARED:
            ratio = result.ratio(engine, PEER)
            cells.append("" if ratio is None else f"{ratio:.2f}")
    return tuple(cells)


def as_text(results: Sequence[Result]) -> str:
    """Return the results as a table, names to the left and figures to the right."""
    engines = _engines(results)
    rows = [_headings(engines), *(_row(result, engines) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in (0, 2) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_json(results: Sequence[Result], machine: dict[str, str]) -> str:
    """Return machine and results as JSON, times in seconds per operation."""
    content = {
        "machine": machine,
        "results": [
            {
                **asdict(result),
                "median_s": {name: figure.median_s for name, figure in result.figures.items()},
                "ratio": {name: result.ratio(name, PEER) for name in _COMPARED},
            }
            for result in results
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def from_json(path: Path) -> tuple[list[Result], dict[str, str]]:
    """Return the results and the machine of a run, as `as_json` wrote them."""
    content = json.loads(path.read_text())
    results = [
        Result(
            fields["workload"],
            fields["metric"],
            fields["unit"],
            fields["size"],
            {name: Figure(tuple(each["rounds_s"])) for name, each in fields["figures"].items()},
            fields["missing"],
        )
        for fields in content["results"]
    ]
    return results, content["machine"]


def merged(runs: Sequence[Sequence[Result]]) -> list[Result]:
    """Return the results of several runs; what was measured twice, as the later run has it."""
    latest = {
        (result.workload, result.metric, result.size): result for run in runs for result in run
    }
    return list(latest.values())


def merged_machines(machines: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the facts of several runs; where these differ, all that there were."""
    names = dict.fromkeys(name for machine in machines for name in machine)
    return {
        name: "; ".join(dict.fromkeys(each[name] for each in machines if name in each))
        for name in names
    }
