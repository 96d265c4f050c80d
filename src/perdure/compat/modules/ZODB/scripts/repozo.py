"""`python -m ZODB.scripts.repozo`: backups; see `perdure backup` and `perdure restore`.

It takes repozo's options. What it writes is a backup of Perdure's own format, with
checksums and blobs; what repozo wrote, it restores too.
"""

import getopt
import sys
from typing import Final

from perdure.clock import parse_tid
from perdure.errors import BackupError
from perdure.tools import back_up, restore

__all__ = ["BACKUP", "READCHUNK", "RECOVER", "VERIFY", "NoFiles", "RepozoError", "main", "usage"]

BACKUP: Final = 1
RECOVER: Final = 2
VERIFY: Final = 3
READCHUNK: Final = 16384

_OPTIONS: Final = "BRVvhr:f:FQzkD:o:w"
_LONG: Final = (
    *("backup", "recover", "verify", "verbose", "help", "repository=", "file=", "full"),
    *("quick", "gzip", "kill-old-on-full", "date=", "output=", "with-verify"),
)
_SHORT: Final = {
    **{f"--{name.rstrip('=')}": f"-{name[0]}" for name in ("repository=", "file=", "output=")},
    "--backup": "-B",
    "--recover": "-R",
    "--verify": "-V",
    "--verbose": "-v",
    "--help": "-h",
    "--full": "-F",
    "--quick": "-Q",
    "--gzip": "-z",
    "--kill-old-on-full": "-k",
    "--date": "-D",
    "--with-verify": "-w",
}
_USAGE: Final = """\
usage: python -m ZODB.scripts.repozo -B -r DIRECTORY -f FILE [-F] [-z]
       python -m ZODB.scripts.repozo -R -r DIRECTORY -o FILE [-D DATE]"""


class RepozoError(Exception):
    """A backup cannot be made or restored (ZODB's name)."""


class NoFiles(RepozoError):
    """There is no backup."""


def usage(code: int, msg: str = "") -> None:
    """Print how it is used, and end the program."""
    print(_USAGE, msg, sep="\n", file=sys.stdout if code == 0 else sys.stderr)
    raise SystemExit(code)


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says."""
    try:
        given, rest = getopt.getopt(sys.argv[1:] if argv is None else argv, _OPTIONS, _LONG)
    except getopt.error as error:
        usage(1, str(error))
        return
    options = {_SHORT.get(name, name): value for name, value in given}
    if "-h" in options:
        usage(0)
    modes = [mode for mode in ("-B", "-R", "-V") if mode in options]
    if rest or len(modes) != 1 or "-r" not in options:
        usage(1, "exactly one of -B, -R and -V, and -r, are needed")
    try:
        _run(modes[0], options)
    except BackupError as error:
        raise NoFiles(str(error)) from error


def _run(mode: str, options: dict[str, str]) -> None:
    if mode == "-V":
        usage(1, "-V is not there; `perdure restore` verifies what it restores")
    if mode == "-B":
        if "-f" not in options:
            usage(1, "-f, the file, is needed")
        back_up(options["-f"], options["-r"], full="-F" in options)
        return
    if "-o" not in options:
        usage(1, "-o, the file to restore into, is needed")
    date = options.get("-D")
    restore(options["-r"], options["-o"], at=None if date is None else parse_tid(_iso(date)))


def _iso(date: str) -> str:
    """Return repozo's yyyy-mm-dd[-hh[-mm[-ss]]], which is UTC, as an ISO 8601 time."""
    parts = date.split("-")
    day, time = parts[:3], [*parts[3:], "00", "00", "00"][:3]
    return f"{'-'.join(day)}T{':'.join(time)}+00:00"


if __name__ == "__main__":
    main()
