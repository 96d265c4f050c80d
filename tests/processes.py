"""Running `perdure` as people do: as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["python", "run_perdure", "start_perdure", "stderr_on_a_terminal"]

TIMEOUT_S = 120


def _environment() -> dict[str, str]:
    # Packages may be on the path of this process only, as in a script of buildout.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def python(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments; warnings in it are errors, too."""
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=_environment(),
        timeout=TIMEOUT_S,
        check=False,
    )


def run_perdure(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `perdure` with these arguments."""
    return python("-m", "perdure", *map(str, arguments), stdin=stdin)


def stderr_on_a_terminal(*arguments: str | Path) -> str:
    """Run `perdure` with a terminal as its stderr; return what appears there."""
    ours, theirs = os.openpty()
    try:
        try:
            subprocess.run(
                [sys.executable, "-m", "perdure", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=theirs,
                env=_environment(),
                timeout=TIMEOUT_S,
                check=True,
            )
            # The terminal holds little; what is read here is there by now.
            os.write(theirs, b"\0")
        finally:
            os.close(theirs)
        shown = b""
        while not shown.endswith(b"\0"):
            shown += os.read(ours, 4096)
        return shown[:-1].decode().replace("\r\n", "\n")
    finally:
        os.close(ours)


def start_perdure(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start `perdure` and leave it running, its output to be read line by line."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "perdure", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
