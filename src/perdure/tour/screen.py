"""How the tour looks: titles, the code that runs, what it found, how long it took."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.text import Text

__all__ = ["Screen", "shown_code", "title_of"]

_T = TypeVar("_T")


def title_of(step: Callable[..., Any]) -> str:
    """Return the title of a step: its docstring."""
    return inspect.cleandoc(step.__doc__ or step.__name__)


def shown_code(step: Callable[..., Any]) -> str:
    """Return the source of a step as it runs, without its docstring, which is its title."""
    source = textwrap.dedent(inspect.getsource(step))
    function = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(function, ast.FunctionDef) and ast.get_docstring(function) is not None:
        docstring = function.body[0]
        del lines[docstring.lineno - 1 : docstring.end_lineno]
    return "\n".join(lines)


class Screen:
    """Prints a tour, one step after another, for a person or into a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0

    def say(self, text: str) -> None:
        """Print a line of what was found, exactly as it is."""
        self._console.print(Text("  " + text), soft_wrap=True)

    @contextmanager
    def step(self, function: Callable[..., Any]) -> Iterator[None]:
        """Show a step's title and code, and after it has run how long that took."""
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {title_of(function)}", style="bold"))
        code = Syntax(shown_code(function), "python", theme="ansi_dark", background_color="default")
        self._console.print(code, soft_wrap=True)
        start = perf_counter()
        yield
        self._console.print(Text(f"  took {_duration(perf_counter() - start)}", style="dim"))

    def progress(self, things: Sequence[_T], what: str) -> Iterable[_T]:
        """Yield `things`, showing how far this is; in a file, a line at each tenth."""
        return self._bar(things, what) if self._console.is_terminal else self._tenths(things, what)

    def _bar(self, things: Sequence[_T], what: str) -> Iterator[_T]:
        columns = TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, TimeElapsedColumn(), console=self._console) as progress:
            yield from progress.track(things, description=what)

    def _tenths(self, things: Sequence[_T], what: str) -> Iterator[_T]:
        for number, thing in enumerate(things, 1):
            yield thing
            if number * 10 // len(things) > (number - 1) * 10 // len(things):
                self.say(f"{what} {number:,} of {len(things):,}")


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
