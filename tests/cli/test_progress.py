import threading

import pytest
from rich.console import Console

from perdure.cli import progress
from perdure.cli.progress import progress_bar, waiting


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("counting") as tell:
        tell(1, 2)
    with waiting("packing"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(force_terminal=True, width=80, stderr=True)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    return console


def test_what_is_quick_shows_no_bar(terminal: Console, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("counting") as tell:
        tell(1, 2)
    assert "counting" not in capsys.readouterr().err


@pytest.mark.parametrize("in_bytes", [False, True])
def test_what_takes_longer_shows_a_bar_on_stderr(
    terminal: Console,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    in_bytes: bool,
) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", -1.0)
    with progress_bar("counting", in_bytes=in_bytes) as tell:
        tell(1, 2)
        tell(2, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert "counting" in err


def test_waiting_is_shown_on_stderr(
    terminal: Console, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    with waiting("packing"):
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join(30)
    out, err = capsys.readouterr()
    assert out == ""
    assert "packing" in err


def test_a_short_wait_is_not_shown(terminal: Console, capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("opening"):
        pass
    assert capsys.readouterr() == ("", "")


def test_nothing_is_left_running_behind_a_wait(terminal: Console) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), waiting("opening"):
        _ = 1 // 0
    assert threading.active_count() == before
