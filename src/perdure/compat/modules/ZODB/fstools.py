"""`ZODB.fstools`: a data file read backwards, header by header."""

import struct
from typing import IO, Any

from persistent.timestamp import TimeStamp

from perdure.ids import u64
from ZODB._compat import loads
from ZODB.FileStorage.format import DATA_HDR, DATA_HDR_LEN, TRANS_HDR, TRANS_HDR_LEN

__all__ = [
    "DATA_HDR",
    "DATA_HDR_LEN",
    "TRANS_HDR",
    "TRANS_HDR_LEN",
    "DataHeader",
    "TimeStamp",
    "TxnHeader",
    "loads",
    "prev_txn",
    "u64",
]


class TxnHeader:
    """The header of the transaction at the position `pos` of an open data file."""

    def __init__(self, file: IO[bytes], pos: int) -> None:
        self._file = file
        self._pos = pos
        file.seek(pos)
        self.length: int
        self.tid, self.length, status, self.user_len, self.descr_len, self.ext_len = struct.unpack(
            TRANS_HDR, file.read(TRANS_HDR_LEN)
        )
        self.status = status.decode("latin-1")

    def read_meta(self) -> None:
        """Read `user`, `descr` (bytes) and `ext` (a dictionary)."""
        self._file.seek(self._pos + TRANS_HDR_LEN)
        self.user = self._file.read(self.user_len)
        self.descr = self._file.read(self.descr_len)
        ext = self._file.read(self.ext_len)
        self.ext: Any = loads(ext) if ext else {}

    def get_offset(self) -> int:
        """Return the position."""
        return self._pos

    def __len__(self) -> int:
        return int(TRANS_HDR_LEN + self.user_len + self.descr_len + self.ext_len)

    def get_data_offset(self) -> int:
        """Return the position of the first record."""
        return self._pos + len(self)

    def get_timestamp(self) -> TimeStamp:
        """Return the moment of the transaction."""
        return TimeStamp(self.tid)

    def get_raw_data(self) -> bytes:
        """Return all records as they stand in the file."""
        self._file.seek(self.get_data_offset())
        return self._file.read(self.length - len(self))

    def next_txn(self) -> "TxnHeader | None":
        """Return the header of the transaction after this one; None at the end of the file."""
        position = self._pos + self.length + 8
        self._file.seek(position)
        return TxnHeader(self._file, position) if self._file.read(8) else None

    def prev_txn(self) -> "TxnHeader | None":
        """Return the header of the transaction before this one; None at the first."""
        if self._pos == 4:
            return None
        self._file.seek(self._pos - 8)
        return TxnHeader(self._file, self._pos - 8 - u64(self._file.read(8)))


class DataHeader:
    """The header of the record at the position `pos` of an open data file."""

    def __init__(self, file: IO[bytes], pos: int) -> None:
        self._file = file
        self._pos = pos
        file.seek(pos)
        self.plen: int
        self.oid, self.serial, prev, tloc, self.vlen, self.plen = struct.unpack(
            DATA_HDR, file.read(DATA_HDR_LEN)
        )
        self.prev_rec_pos = prev
        self.txn_pos = tloc

    def next_offset(self) -> int:
        """Return the position of the record behind this one."""
        return int(self._pos + DATA_HDR_LEN + (self.plen or 8))


def prev_txn(f: IO[bytes]) -> TxnHeader | None:
    """Return the header of the last transaction that ends where the file `f` stands."""
    f.seek(-8, 1)
    position = f.tell()
    return TxnHeader(f, position - u64(f.read(8))) if position > 4 else None
