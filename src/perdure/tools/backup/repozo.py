"""Backups that ZODB's `repozo` made: which of its files make a data file.

    2026-11-01-12-30-00.fs       a full backup, .fsz if it is compressed
    2026-11-01-12-30-00.dat      what is known of it, and of what was added:
                                 path, start, end and MD5 of each file, in lines
    2026-11-02-12-30-00.deltafs  what was added, .deltafsz if it is compressed

The names tell when a backup was made, in UTC.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from perdure.clock import tid_from_datetime
from perdure.errors import BackupError
from perdure.tools.backup.chosen import Chosen
from perdure.tools.backup.pieces import Piece

__all__ = ["choose_from_repozo", "is_repozo"]

_NAME: Final = re.compile(r"(\d{4}(?:-\d\d){5})\.(delta)?fs(z)?")
_LINE: Final = re.compile(r"(.*) (\d+) (\d+) ([0-9a-f]{32})")
_ADVICE: Final = "restore an earlier moment (--at), or bring this file back"


def is_repozo(directory: Path) -> bool:
    """Return whether `repozo` made backups in a directory."""
    return any(_NAME.fullmatch(path.name) for path in directory.iterdir())


def choose_from_repozo(directory: Path, at: bytes | None) -> Chosen:
    """Return what to restore for the moment `at`, a tid, by default the newest.

    Raises `BackupError` if the files do not fit together.
    """
    chains = _chains(directory)
    number = len(chains) - 1
    while at is not None and number > 0 and _made(chains[number][0]) > at:
        number -= 1
    files = chains[number]
    pieces = _pieces(files)
    if at is None:
        return Chosen(pieces, None)
    # Up to the first that was made later: it has all that was committed by then.
    needed = next((n for n, path in enumerate(files, 1) if _made(path) > at), len(files))
    incomplete = ""
    if needed == len(files) and _made(files[-1]) <= at and number + 1 < len(chains):
        incomplete = (
            f"what was committed after {files[-1].name} was made is in no backup of that moment: "
            f"{chains[number + 1][0].name} is a new full one"
        )
    return Chosen(pieces[:needed], at, incomplete=incomplete)


def _chains(directory: Path) -> list[list[Path]]:
    chains: list[list[Path]] = []
    for path in sorted(directory.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        if match[2] is None:
            chains.append([path])
        elif chains:
            chains[-1].append(path)
        else:
            raise BackupError(path, "an addition", "a full backup before it", _ADVICE)
    return chains


def _made(path: Path) -> bytes:
    moment = datetime.strptime(path.name.split(".")[0], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
    return tid_from_datetime(moment)


def _pieces(files: list[Path]) -> tuple[Piece, ...]:
    dat = files[0].with_suffix(".dat")
    try:
        lines = dat.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        expected = f"what repozo knows of {files[0].name}"
        raise BackupError(dat, "no file", expected, _ADVICE) from None
    known: dict[str, tuple[int, int, str]] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            expected = "path, start, end and MD5"
            raise BackupError(dat, f"line {number}: {line!r}", expected, _ADVICE)
        known[Path(match[1]).name] = (int(match[2]), int(match[3]), match[4])
    return tuple(_piece(path, dat, known) for path in files)


def _piece(path: Path, dat: Path, known: dict[str, tuple[int, int, str]]) -> Piece:
    if path.name not in known:
        raise BackupError(dat, f"no line about {path.name}", "one", _ADVICE)
    start, end, md5 = known[path.name]
    return Piece(path, start, end, "md5", md5, path.name.endswith("z"))
