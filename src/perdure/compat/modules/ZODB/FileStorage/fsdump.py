"""`ZODB.FileStorage.fsdump`: what a data file holds, transaction by transaction, as text."""

import struct
import sys
from typing import IO, Any

from persistent.timestamp import TimeStamp

from perdure.ids import u64
from ZODB.FileStorage.FileStorage import FileIterator
from ZODB.FileStorage.format import DATA_HDR, DATA_HDR_LEN, TRANS_HDR, TRANS_HDR_LEN
from ZODB.utils import get_pickle_metadata

__all__ = [
    "DATA_HDR",
    "DATA_HDR_LEN",
    "TRANS_HDR",
    "TRANS_HDR_LEN",
    "FileIterator",
    "TimeStamp",
    "fmt",
    "fsdump",
    "get_pickle_metadata",
    "main",
    "u64",
]


def fmt(p64: bytes) -> str:
    """Return 8 bytes as 16 hexadecimal digits."""
    return f"{struct.unpack('>Q', p64)[0]:016x}"


def fsdump(path: str, file: IO[str] | None = None, with_offset: int = 1) -> None:
    """Write a line for each transaction and each record of a data file, oldest first."""
    transactions = FileIterator(path)
    try:
        for number, transaction in enumerate(transactions):
            offset = f" offset={transaction.position}" if with_offset else ""
            print(
                f"Trans #{number:05d} tid={fmt(transaction.tid)} "
                f"time={TimeStamp(transaction.tid)}{offset}",
                file=file,
            )
            print(
                f"    status={transaction.status!r} user={transaction.user!r} "
                f"description={transaction.description!r}",
                file=file,
            )
            for index, record in enumerate(transaction):
                print(f"  data #{index:05d} oid={fmt(record.oid)}{_facts(record)}", file=file)
    finally:
        transactions.close()


def _facts(record: Any) -> str:
    if record.data is None:
        return " class=undo or abort of object creation"
    back = f" bp={fmt(record.data_txn)}" if record.data_txn else ""
    return f" size={len(record.data)} class={'.'.join(get_pickle_metadata(record.data))}{back}"


def main() -> None:
    """Dump the file that the command line names."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: fsdump FILE")
    fsdump(sys.argv[1])


if __name__ == "__main__":
    main()
