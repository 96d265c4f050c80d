"""`ZODB.fsrecover`: what can be read of a damaged data file, in a new one.

`perdure recover` does the same, and says more about what was lost.
"""

import getopt
import sys
import time
from struct import unpack

from persistent.timestamp import TimeStamp

from perdure.ids import u64
from perdure.storages.file import FileStorage
from perdure.tools import recover as _recover
from ZODB.FileStorage.FileStorage import TransactionRecord
from ZODB.serialize import referencesf
from ZODB.utils import as_text

__all__ = [
    "ErrorFound",
    "TimeStamp",
    "TransactionRecord",
    "as_text",
    "die",
    "main",
    "recover",
    "u64",
    "unpack",
]

_USAGE = "usage: python -m ZODB.fsrecover [-f] [-v LEVEL] [-p] [-P SECONDS] DAMAGED NEW"


class ErrorFound(Exception):
    """The file is damaged (ZODB raises it inside itself; here nobody does)."""


def die(mess: str = "", show_docstring: bool = False) -> None:
    """End the program with a message."""
    raise SystemExit("\n".join(part for part in (mess, _USAGE if show_docstring else "") if part))


def recover(
    inp: str,
    outp: str,
    verbose: int = 0,
    partial: bool = False,
    force: bool = False,
    pack: float | None = None,
) -> None:
    """Save what can be read of the file `inp` into a new file `outp`.

    With `force`, an older file is replaced. `pack` is the moment, in seconds since
    1970, that the new file is packed to. `partial` changes nothing: what can be read
    of a transaction is always saved.
    """
    saved = _recover(inp, outp, overwrite=force)
    for doubt in saved.lost if verbose else ():
        print(f"byte {doubt.position}: lost: {doubt.reason}")
    print(f"{saved.transactions} transactions and {saved.records} records recovered, ", end="")
    print(f"{len(saved.lost)} places lost")
    if pack is not None:
        storage = FileStorage(outp)
        try:
            storage.pack(pack, referencesf)
        finally:
            storage.close()


def main() -> None:
    """Recover as the command line says."""
    try:
        options, arguments = getopt.getopt(sys.argv[1:], "fv:pP:")
    except getopt.error as error:
        raise SystemExit(f"{error}\n{_USAGE}") from None
    if len(arguments) != 2:
        raise SystemExit(_USAGE)
    given = dict(options)
    damaged, new = arguments
    recover(
        damaged,
        new,
        verbose=int(given.get("-v", 0)),
        partial="-p" in given,
        force="-f" in given,
        pack=time.time() - float(given["-P"]) if "-P" in given else None,
    )


if __name__ == "__main__":
    main()
