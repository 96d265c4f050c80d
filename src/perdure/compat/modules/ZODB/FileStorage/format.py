"""`ZODB.FileStorage.format`: the headers in a data file, for tools that read one themselves.

Perdure's own view of the format is `perdure.storages.file.format`. Here, a
formatter reads from `_file`, which the class that inherits it has.
"""

import logging
import struct
from typing import IO, Any, Final

from perdure.errors import POSKeyError
from perdure.ids import u64
from ZODB.utils import as_bytes, oid_repr

__all__ = [
    "DATA_HDR",
    "DATA_HDR_LEN",
    "TRANS_HDR",
    "TRANS_HDR_LEN",
    "CorruptedDataError",
    "CorruptedError",
    "DataHeader",
    "DataHeaderFromString",
    "FileStorageFormatter",
    "POSKeyError",
    "TxnHeader",
    "TxnHeaderFromString",
    "as_bytes",
    "logger",
    "oid_repr",
    "u64",
]

logger = logging.getLogger("ZODB.FileStorage.format")

TRANS_HDR: Final = ">8sQcHHH"
DATA_HDR: Final = ">8s8sQQHQ"
TRANS_HDR_LEN: Final = 23
DATA_HDR_LEN: Final = 42


class CorruptedError(Exception):
    """A data file is damaged (its base is `Exception`, as in ZODB)."""


class CorruptedDataError(CorruptedError):
    """A record of a data file is damaged; `oid`, `buf` and `pos` say which, as far as known."""

    def __init__(
        self, oid: bytes | None = None, buf: bytes | None = None, pos: int | None = None
    ) -> None:
        self.oid = oid
        self.buf = buf
        self.pos = pos

    def __str__(self) -> str:
        name = "unknown oid" if self.oid is None else f"oid {oid_repr(self.oid)}"
        which = f"Error reading {name}"
        text = f"{which}.  Found {self.buf!r}"
        return text if self.pos is None else f"{text} at {self.pos}"


class DataHeader:
    """The fixed part of a record, and the back pointer where there are no data (`plen` 0)."""

    __slots__ = ("back", "oid", "plen", "prev", "tid", "tloc")

    def __init__(self, oid: bytes, tid: bytes, prev: int, tloc: int, vlen: int, plen: int) -> None:
        if vlen != 0:
            raise ValueError("Non-zero version length. Versions aren't supported.")
        self.oid = oid
        self.tid = tid
        self.prev = prev
        self.tloc = tloc
        self.plen = plen
        self.back = 0

    def asString(self) -> bytes:
        """Return it as it stands in the file."""
        return struct.pack(DATA_HDR, self.oid, self.tid, self.prev, self.tloc, 0, self.plen)

    def recordlen(self) -> int:
        """Return the bytes of the record, header included."""
        return DATA_HDR_LEN + (self.plen or 8)


def DataHeaderFromString(s: bytes) -> DataHeader:
    return DataHeader(*struct.unpack(DATA_HDR, s))


class TxnHeader:
    """The fixed part of a transaction, and its metadata once they were read."""

    __slots__ = ("descr", "dlen", "elen", "ext", "status", "tid", "tlen", "ulen", "user")

    user: bytes
    descr: bytes
    ext: bytes

    def __init__(self, tid: bytes, tlen: int, status: str, ulen: int, dlen: int, elen: int) -> None:
        if not isinstance(status, str):
            raise TypeError(f"status must be text, not {status!r}")
        self.tid = tid
        self.tlen = tlen
        self.status = status
        self.ulen = ulen
        self.dlen = dlen
        self.elen = elen
        if elen < 0:
            raise CorruptedDataError()

    def asString(self) -> bytes:
        """Return it, with its metadata, as it stands in the file."""
        fixed = struct.pack(
            TRANS_HDR,
            self.tid,
            self.tlen,
            self.status.encode("ascii"),
            self.ulen,
            self.dlen,
            self.elen,
        )
        return fixed + self.user + self.descr + self.ext

    def headerlen(self) -> int:
        """Return the bytes up to the first record."""
        return TRANS_HDR_LEN + self.ulen + self.dlen + self.elen


def TxnHeaderFromString(s: bytes) -> TxnHeader:
    tid, tlen, status, ulen, dlen, elen = struct.unpack(TRANS_HDR, s)
    return TxnHeader(tid, tlen, status.decode("ascii"), ulen, dlen, elen)


class FileStorageFormatter:
    """Reads headers at positions of `_file`, an open file."""

    _file: IO[bytes]
    _pos: int

    def _read_num(self, pos: int) -> int:
        self._file.seek(pos)
        return u64(self._file.read(8))

    def _read_data_header(
        self, pos: int, oid: bytes | None = None, _file: IO[bytes] | None = None
    ) -> DataHeader:
        file = self._file if _file is None else _file
        file.seek(pos)
        data = file.read(DATA_HDR_LEN)
        if len(data) != DATA_HDR_LEN:
            raise CorruptedDataError(oid, data, pos)
        header = DataHeaderFromString(data)
        if oid is not None and oid != header.oid:
            raise CorruptedDataError(oid, data, pos)
        if not header.plen:
            header.back = u64(file.read(8))
        return header

    def _read_txn_header(self, pos: int, tid: bytes | None = None) -> TxnHeader:
        self._file.seek(pos)
        data = self._file.read(TRANS_HDR_LEN)
        if len(data) != TRANS_HDR_LEN:
            raise CorruptedDataError(tid, data, pos)
        header = TxnHeaderFromString(data)
        if tid is not None and tid != header.tid:
            raise CorruptedDataError(tid, data, pos)
        header.user = self._file.read(header.ulen)
        header.descr = self._file.read(header.dlen)
        header.ext = self._file.read(header.elen)
        return header

    def _loadBack_impl(
        self, oid: bytes, back: int, fail: bool = True, _file: IO[bytes] | None = None
    ) -> tuple[bytes | None, bytes, int, int]:
        """Return (data, tid, position, position of the transaction) behind a back pointer."""
        while True:
            if not back:
                if fail:
                    raise POSKeyError(oid)
                return None, b"", 0, 0
            header = self._read_data_header(back, oid, _file)
            if header.plen:
                data = (self._file if _file is None else _file).read(header.plen)
                return data, header.tid, back, header.tloc
            if not header.back and not fail:
                return None, header.tid, back, header.tloc
            back = header.back

    def _loadBackTxn(self, oid: bytes, back: int, fail: bool = True) -> tuple[bytes | None, bytes]:
        return self._loadBack_impl(oid, back, fail)[:2]

    def _loadBackPOS(self, oid: bytes, back: int) -> int:
        return self._loadBack_impl(oid, back)[2]

    def getTxnFromData(self, oid: bytes, back: int) -> bytes:
        """Return the tid of the record at `back`."""
        return self._read_data_header(back, oid).tid

    def fail(self, pos: int, msg: str, *args: Any) -> None:
        """Say, in the log, what is wrong at `pos`, and raise `CorruptedError`."""
        text = f"%s:%d:{msg}" % (self._file.name, pos, *args)
        logger.error("%s", text)
        raise CorruptedError(text)

    def checkTxn(self, th: TxnHeader, pos: int) -> None:
        """Raise `CorruptedError` if a transaction at `pos` cannot be one."""
        if th.tid <= getattr(self, "ltid", b""):
            self.fail(pos, "time-stamp reduction: %s", oid_repr(th.tid))
        if pos + th.tlen > self._pos:
            self.fail(pos, "truncated transaction")
        if th.tlen < th.headerlen():
            self.fail(pos, "invalid transaction header: length %d", th.tlen)

    def checkData(self, th: TxnHeader, tpos: int, dh: DataHeader, pos: int) -> None:
        """Raise `CorruptedError` if a record at `pos` is none of the transaction at `tpos`."""
        if dh.tloc != tpos:
            self.fail(pos, "record of the transaction at %d, not at %d", dh.tloc, tpos)
        if pos + dh.recordlen() > tpos + th.tlen:
            self.fail(pos, "record goes past the end of its transaction at %d", tpos)
        if dh.prev and dh.prev >= pos:
            self.fail(pos, "previous record at %d, which is later", dh.prev)
