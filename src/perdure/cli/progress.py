"""A bar that shows how far a command is: on the terminal only, and only if it takes a while."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from perdure.tools.progress import Progress as Callback

__all__ = ["progress_bar", "waiting"]

_QUIET_S: Final = 0.5
"""What is done within this time shows nothing."""


@contextmanager
def progress_bar(what: str, *, in_bytes: bool = False) -> Iterator[Callback]:
    """Yield a callback that shows, on stderr, how far `what` is; silent if that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _silent
        return
    amount: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(what, total=None)
    begun = monotonic()
    shown = False

    def show(done: int, total: int | None) -> None:
        nonlocal shown
        if not shown and monotonic() - begun > _QUIET_S:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
        sys.stderr.flush()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal that `what` is under way, where nobody can say how far it is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    status = console.status(what)
    timer = Timer(_QUIET_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # what it shows is not to come up after this
        status.stop()


def _silent(done: int, total: int | None) -> None:
    """Show nothing."""
