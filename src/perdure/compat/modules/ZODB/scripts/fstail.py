"""`python -m ZODB.scripts.fstail`: the last transactions of a data file; see `perdure log`."""

import getopt
import sys
from hashlib import sha1
from itertools import islice

from perdure.ids import tid_repr
from perdure.storages.file import FileStorage
from perdure.tools import transactions
from ZODB.fstools import prev_txn

__all__ = ["Main", "main", "prev_txn", "sha1"]


def main(path: str, ntxn: int) -> None:
    """Print the last `ntxn` transactions, newest first."""
    storage = FileStorage(path, read_only=True)
    try:
        for transaction in islice(transactions(storage, limit=ntxn), ntxn):
            print(f"{transaction.time}: tid {tid_repr(transaction.tid)}")
            print(
                f"user={transaction.user!r} description={transaction.description!r} "
                f"objects={len(transaction.oids)} bytes={transaction.size_bytes}\n"
            )
    finally:
        storage.close()


def Main() -> None:
    """Print as the command line says."""
    usage = "usage: python -m ZODB.scripts.fstail [-n COUNT] FILE"
    try:
        options, arguments = getopt.getopt(sys.argv[1:], "n:")
    except getopt.error as error:
        raise SystemExit(f"{error}\n{usage}") from None
    if len(arguments) != 1:
        raise SystemExit(usage)
    main(arguments[0], int(dict(options).get("-n", 10)))


if __name__ == "__main__":
    Main()
