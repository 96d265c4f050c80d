"""Measuring: every engine does a round of a workload in turn, and medians are compared."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.session import Session
from benchmarks.workload import NotAvailableError, Sample, Workload

__all__ = ["Figure", "Result", "measure"]


@dataclass(frozen=True)
class Figure:
    """What one engine took per operation, in seconds, in each round."""

    rounds_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return median(self.rounds_s)


@dataclass(frozen=True)
class Result:
    """One line of the report: a metric of a workload at a size, by engine.

    `missing` says, by engine, why there is no figure.
    """

    workload: str
    metric: str
    unit: str
    size: int
    figures: dict[str, Figure]
    missing: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.metric}" if self.metric else self.workload

    @property
    def engines(self) -> list[str]:
        """All that were asked, whether there is a figure or not."""
        return [*self.figures, *self.missing]

    def ratio(self, engine: str, peer: str) -> float | None:
        """Return how many times as fast as `peer` this engine is; None if one is missing.

        It is the median of the ratios of single rounds: what disturbs a machine
        for some seconds disturbs both engines in neighbouring rounds.
        """
        if engine not in self.figures or peer not in self.figures:
            return None
        theirs, ours = self.figures[peer].rounds_s, self.figures[engine].rounds_s
        return median(one / other for one, other in zip(theirs, ours, strict=True))


def measure(
    workload: Workload, sessions: Mapping[str, Session], size: int, rounds: int, place: Path
) -> list[Result]:
    """Carry out `rounds` rounds with each engine, in turns, after one that does not count.

    Who goes first changes with every round. An engine that can't do one of the rounds has
    no figure. Directories are made in `place` and removed at the end.
    """
    samples: dict[str, list[dict[str, Sample]]] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for name, session in sessions.items():
            directory = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=f"{workload.name}-{name}-", dir=place)
            )
            stack.callback(session.end)
            try:
                session.prepare(workload.name, Path(directory), size)
            except NotAvailableError as error:
                missing[name] = str(error)
            else:
                samples[name] = []
        for name in _in_turns(list(samples), min(rounds, workload.most_rounds)):
            if name not in missing:
                try:
                    samples[name].append(sessions[name].round())
                except NotAvailableError as error:
                    missing[name] = str(error)
    for name in missing:
        samples.pop(name, None)  # the rounds before: half a figure is none
    return list(_results(workload, size, samples, missing))


def _in_turns(names: Sequence[str], rounds: int) -> Iterator[str]:
    for number in range(rounds):
        # Turned on by one each time, so that each of several is first, and last, as often.
        first = number % len(names) if names else 0
        yield from [*names[first:], *names[:first]]


def _results(
    workload: Workload,
    size: int,
    samples: dict[str, list[dict[str, Sample]]],
    missing: dict[str, str],
) -> Iterator[Result]:
    units = {
        metric: sample.unit
        for rounds in samples.values()
        for each in rounds
        for metric, sample in each.items()
    }
    for metric, unit in (units or {"": ""}).items():
        figures = {
            name: Figure(tuple(each[metric].each_s for each in rounds))
            for name, rounds in samples.items()
            if all(metric in each for each in rounds)
        }
        yield Result(workload.name, metric, unit or workload.unit, size, figures, missing)
