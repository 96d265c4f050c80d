"""The tour from beginning to end: which steps, in which order, on which file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import perdure
from perdure.tour.model import Module
from perdure.tour.screen import Screen
from perdure.tour.source import (
    SourceFile,
    Unreadable,
    read_module,
    source_files,
    standard_library,
)
from perdure.tour.steps.asking import largest_classes, most_imported, where_defined
from perdure.tour.steps.changing import conflict, earlier, isolation, resolution, undo
from perdure.tour.steps.layering import stage
from perdure.tour.steps.reading import fill, open_cold
from perdure.tour.steps.tending import examine, pack
from perdure.tour.target import prepare, refuse_strangers

__all__ = ["take_tour"]

_STEPS = (
    largest_classes,
    most_imported,
    where_defined,
    isolation,
    conflict,
    resolution,
    earlier,
    undo,
    stage,
    pack,
    examine,
)


def take_tour(
    path: Path, screen: Screen, *, fresh: bool = False, source: Path | None = None
) -> None:
    """Show what Perdure does, on the source under `source`, in the file at `path`.

    `source` is by default the running Python's standard library. With `fresh`,
    it is all read again. Raises `NotATourError`, changing nothing, if the file
    is not the tour's. Interrupted at any moment, it leaves a sound file that
    the next tour takes up.
    """
    refuse_strangers(path)
    _read(path, screen, fresh, source_files(source or standard_library()))
    with screen.step(open_cold):
        db = open_cold(path, screen.say)
    try:
        for step in _STEPS:
            with screen.step(step):
                step(db, screen.say)
    finally:
        db.close()


def _read(path: Path, screen: Screen, fresh: bool, sources: list[SourceFile]) -> None:
    db = perdure.open(path)
    try:
        screen.say(f"{path}: {prepare(db, fresh)}")
        with db.transaction() as connection:
            known = connection.root.library.modules
            missing = [source for source in sources if source.module_name not in known]
        unreadable: list[Unreadable] = []
        with screen.step(fill):
            fill(db, _readable(screen.progress(missing, "reading"), unreadable))
            read = len(missing) - len(unreadable)
            screen.say(f"{read:,} source files read, {len(unreadable):,} could not be")
            for problem in unreadable[:5]:
                screen.say(f"  {problem.path}: {problem.reason}")
    finally:
        db.close()


def _readable(sources: Iterable[SourceFile], unreadable: list[Unreadable]) -> Iterator[Module]:
    """Yield the modules that can be read; add to `unreadable` what cannot."""
    for source in sources:
        module = read_module(source)
        if isinstance(module, Unreadable):
            unreadable.append(module)
        else:
            yield module
