"""The results as a bar chart: SVG, written as text, with targets and what was reached.

A row for each workload of `targets`, with two bars on a logarithmic scale: native
code, and pure Python. A bar begins at 1, ZODB's time; to the left of it is slower.
It has a background of its own and follows the reader's choice of light or dark.
"""

from collections.abc import Iterator, Sequence
from math import log10
from xml.sax.saxutils import escape

from benchmarks.engines import NATIVE, PEER, PURE
from benchmarks.measure import Result
from benchmarks.report import time_text
from benchmarks.table import ratio_text
from benchmarks.targets import TARGETS, Target, reached, result_of

__all__ = ["as_svg"]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 860, 330, 70, 76, 34
ROW, BAR, TEXT = 32, 11, 38
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
BARS = ((NATIVE, "native code", 4), (PURE, "pure Python", 16))

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .ground { fill: #ffffff; } .title { font-size: 15px; font-weight: 600; }
  .faint { fill: #59636e; font-size: 11px; } .grid { stroke: #d1d9e0; } .one { stroke: #1f2328; }
  .perdure { fill: #0969da; } .perdure-pure { fill: #8250df; fill-opacity: 0.65; }
  .target { stroke: #1f2328; stroke-width: 2; } .missed { stroke: #d1242f; stroke-width: 3; }
  .value { font-size: 11px; } .short { fill: #d1242f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .ground { fill: #0d1117; } .faint { fill: #9198a1; }
    .grid { stroke: #30363d; } .one { stroke: #e6edf3; }
    .perdure { fill: #4493f8; } .perdure-pure { fill: #ab7df8; }
    .target { stroke: #e6edf3; } .missed { stroke: #f85149; } .short { fill: #f85149; }
  }
"""


class _Scale:
    """Where a ratio stands, in pixels, with a tick beyond the least and the greatest."""

    def __init__(self, ratios: Sequence[float]) -> None:
        least, most = min([*ratios, 1.0]), max([*ratios, 1.0])
        low = max((tick for tick in TICKS if tick < least), default=TICKS[0])
        high = min((tick for tick in TICKS if tick > most), default=TICKS[-1])
        self.ticks = [tick for tick in TICKS if low <= tick <= high]
        self._low, self._span = log10(low), log10(high) - log10(low)

    def x(self, ratio: float) -> float:
        within = min(max(log10(ratio), self._low), self._low + self._span)
        return LEFT + (within - self._low) / self._span * (WIDTH - LEFT - RIGHT)


def as_svg(results: Sequence[Result], machine: dict[str, str]) -> str:
    """Return the chart of what was measured of the targets' rows.

    Raises `ValueError` if none of them was.
    """
    rows = [
        (target, result)
        for target in TARGETS
        if (result := result_of(target, list(results))) is not None
    ]
    if not rows:
        raise ValueError("nothing to draw: no workload of the table was measured")
    ratios = [
        value
        for target, result in rows
        for engine, *_ in BARS
        for value in (target.factor(engine), result.ratio(engine, PEER))
        if value is not None
    ]
    scale = _Scale(ratios)
    height = TOP + ROW * len(rows) + BOTTOM
    facts = ", ".join(machine[name] for name in ("processor", "python", "date") if name in machine)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">Perdure against ZODB: how many times as fast, by workload</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        '<text class="title" x="16" y="24">How many times as fast as ZODB 6</text>',
        f'<text class="faint" x="16" y="{height - 12}">{escape(facts)}</text>',
        *_legend(),
        *_grid(scale, height),
    ]
    for number, (target, result) in enumerate(rows):
        lines += _row(target, result, scale, TOP + ROW * number)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend() -> Iterator[str]:
    x = 16
    for engine, name, _offset in BARS:
        yield f'<rect class="{engine}" x="{x}" y="37" width="20" height="{BAR}"/>'
        yield f'<text x="{x + 26}" y="47">{name}</text>'
        x += 120
    for kind, name in (("target", "target"), ("missed", "target that was missed")):
        yield f'<path class="{kind}" d="M{x} 36v13"/>'
        yield f'<text x="{x + 8}" y="47">{name}</text>'
        x += 70


def _grid(scale: _Scale, height: int) -> Iterator[str]:
    for tick in scale.ticks:
        x = scale.x(tick)
        kind = "one" if tick == 1 else "grid"
        yield f'<path class="{kind}" d="M{x:.1f} {TOP - 4}V{height - BOTTOM}"/>'
        yield f'<text class="faint" x="{x:.1f}" y="{TOP - 9}" text-anchor="middle">{tick:g}x</text>'


def _row(target: Target, result: Result, scale: _Scale, y: int) -> Iterator[str]:
    title = escape(target.title.replace("`", ""))
    yield f'<text x="{LEFT - 12}" y="{y + 20}" text-anchor="end">{title}</text>'
    for engine, name, offset in BARS:
        ratio, factor = result.ratio(engine, PEER), target.factor(engine)
        if ratio is not None:
            yield from _bar(
                result, engine, f"{target.title}, {name}", ratio, factor, scale, y + offset
            )
        if factor is not None:
            kind = "missed" if ratio is not None and not reached(factor, ratio) else "target"
            yield f'<path class="{kind}" d="M{scale.x(factor):.1f} {y + offset - 1}v{BAR + 2}"/>'


def _bar(
    result: Result,
    engine: str,
    name: str,
    ratio: float,
    factor: float | None,
    scale: _Scale,
    y: int,
) -> Iterator[str]:
    ends = sorted((scale.x(1), scale.x(ratio)))
    ours, theirs = (time_text(result.figures[each].median_s) for each in (engine, PEER))
    told = escape(f"{name}: {ratio_text(ratio)} ({ours} per {result.unit}, ZODB {theirs})")
    yield (
        f'<rect class="{engine}" x="{ends[0]:.1f}" y="{y}" width="{ends[1] - ends[0]:.1f}" '
        f'height="{BAR}"><title>{told}</title></rect>'
    )
    # Beside the bar, and behind the mark of the target where that would be in the text.
    x = ends[1] + 5
    if factor is not None and x - 5 < scale.x(factor) < x + TEXT:
        x = scale.x(factor) + 5
    kind = "value short" if factor is not None and not reached(factor, ratio) else "value"
    yield f'<text class="{kind}" x="{x:.1f}" y="{y + BAR - 1}">{ratio_text(ratio)}</text>'
