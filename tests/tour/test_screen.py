import inspect
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from perdure.tour import guide
from perdure.tour.screen import Screen, shown_code, title_of
from perdure.tour.steps.reading import fill, open_cold

STEPS = [fill, open_cold, *guide._STEPS]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_what_is_shown_is_the_source_that_runs(step: Callable[..., object]) -> None:
    shown = shown_code(step).splitlines()
    source = inspect.getsource(step).splitlines()
    assert [line for line in source if line not in shown] == [f'    """{title_of(step)}"""']
    assert shown == [line for line in source if line in shown]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_is_few_lines_and_its_title_is_one(step: Callable[..., object]) -> None:
    assert len(shown_code(step).splitlines()) <= 20
    assert "\n" not in title_of(step)
    assert len(title_of(step)) <= 76


def test_a_docstring_of_several_lines_is_not_shown() -> None:
    def step() -> int:
        """A title

        and more.
        """
        return 1

    assert shown_code(step) == "def step() -> int:\n    return 1"
    assert step() == 1


def test_steps_are_numbered_and_timed() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=100))
    for number in (1, 2):
        with screen.step(guide._STEPS[number]):
            screen.say(f"found [red]{number}[/red] ")
    text = out.getvalue()
    assert f"\n2. {title_of(guide._STEPS[2])}\n" in text
    assert "\n  found [red]2[/red] \n" in text
    assert text.count("  took ") == 2


def test_progress_in_a_file_is_a_line_at_each_tenth() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out))
    assert list(screen.progress(range(25), "reading")) == list(range(25))
    assert len(out.getvalue().splitlines()) == 10
    assert out.getvalue().splitlines()[-1] == "  reading 25 of 25"


def test_progress_on_a_terminal_is_a_bar() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=True, width=80))
    assert list(screen.progress(["a", "b"], "reading")) == ["a", "b"]
    assert "2/2" in out.getvalue()


def test_progress_over_nothing_shows_nothing() -> None:
    out = io.StringIO()
    assert list(Screen(Console(file=out)).progress([], "reading")) == []
    assert out.getvalue() == ""
