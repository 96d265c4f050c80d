"""One transaction as the bytes that are appended to a file."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from perdure import native
from perdure.storages.file.format import (
    NUMBER,
    RECORD_HEADER,
    TRANSACTION_HEADER,
    extension_field_size,
    pack_extension,
    seal,
)
from perdure.storages.plan import Kept, Plan, Planned, record_of

if TYPE_CHECKING:
    from perdure.native._planning import Plan as NativePlan

__all__ = ["NOTHING_ENCODED", "UNFINISHED", "Encoded", "Metadata", "encode"]

UNFINISHED: Final = b"c"
"""The status of a transaction until it is finished."""

_SECTOR_SIZE: Final = 512
"""Bytes that a disk writes as a whole or not at all; where it is a multiple, so much the better."""

_SECOND_SIGN: Final = 31
"""The last byte, in a record, of the field that says where its transaction is."""

_CHUNK_SIZE: Final = 4 << 20
"""Records are joined to pieces of at least this many bytes before they are written."""

_LARGE_SIZE: Final = 64 << 10
"""Records of as many bytes are not joined: copying them would cost more than it saves."""

_SMALL_SIZE: Final = 64 << 10

_PIECES_OF_A_WRITE: Final = 512
"""The system takes 1024."""


class Metadata(NamedTuple):
    """What a transaction says about itself."""

    user: bytes
    description: bytes
    extension: bytes


class Encoded(NamedTuple):
    """A transaction that will stand at `position`, the next one at `end`.

    `positions` tells where each of its records will be. `pieces` are its bytes in order, in
    portions for one write each, which can be taken once; the first piece has the status.
    Of a small one `whole` are all its bytes, else b"". `sealed` says whether it has a trailer
    that a crash cannot tear off without leaving a sign.
    """

    position: int
    end: int
    positions: dict[bytes, int]
    pieces: Iterable[Sequence[bytes]]
    sealed: bool
    whole: bytes


NOTHING_ENCODED: Final = Encoded(0, 0, {}, (), True, b"")
"""What stands for a transaction until it is encoded."""

_Body = tuple[dict[bytes, int], int, list[bytes] | None, list[bytes | Kept]]
"""The records of a transaction and the length behind them.

Where each record stands, and where all end. They are read twice, for the checksum and for the
file: only what is small, or not copied, is kept as it is written. Else it is made of the parts,
each time.
"""

new_tuple = tuple.__new__


def encode(
    tid: bytes,
    metadata: Metadata,
    planned: Plan[int],
    position: int,
    durable: int,
    status: bytes,
    in_memory: bool = True,
) -> Encoded:
    """Return the transaction `tid`, to be written at `position`.

    `durable` is the position up to which the file has been synced, `in_memory`
    says that all data are bytes.
    """
    user, note, extension = metadata
    extension_size = extension_field_size(extension)
    first = position + TRANSACTION_HEADER.size + len(user) + len(note) + extension_size
    positions, end, kept, parts = _body(tid, planned, position, first, in_memory)
    length = end - NUMBER.size - position
    head = TRANSACTION_HEADER.pack(tid, length, status, len(user), len(note), extension_size)
    head += user + note
    sealed = extension_size > len(extension)
    if sealed:
        head += pack_extension(extension, position, length, durable)
        head += seal(head, kept or _joined(parts))
        sealed = _holds(position, first)
    else:
        head += extension
    whole = b""
    pieces: Iterable[Sequence[bytes]]
    if kept is None:
        pieces = chain([(head,)], zip(_joined(parts)))
    elif end - position <= _SMALL_SIZE:
        whole = b"".join((head, *kept))
        pieces = ((whole,),)
    elif len(kept) < _PIECES_OF_A_WRITE:
        pieces = ((head, *kept),)
    else:
        pieces = _batches([head, *kept])
    return new_tuple(Encoded, (position, end, positions, pieces, sealed, whole))


def _holds(position: int, first: int) -> bool:
    """Return whether a transaction that lost its trailer in a crash has lost something else, too.

    `first` is where its records begin. A sector that is lost takes along the
    header, or what the first record says about its transaction, and either is
    missed, unless there is a third sector in between.
    """
    header_end = position + TRANSACTION_HEADER.size - 1
    return (first + _SECOND_SIGN) // _SECTOR_SIZE - header_end // _SECTOR_SIZE < 2


def _body(tid: bytes, planned: Plan[int], position: int, first: int, in_memory: bool) -> _Body:
    if native.planning and in_memory:
        joined = native.planning.encode_records(
            _native_plan(planned), tid, position, first, _LARGE_SIZE, _CHUNK_SIZE
        )
        if joined is not None:
            records, positions = joined
            return positions, first + len(records), [records], []
    return _pure_body(tid, planned, position, first, in_memory)


def _native_plan(planned: Plan[int]) -> "NativePlan":
    if isinstance(planned, native.planning.Plan):
        return planned
    plan = native.planning.Plan()
    plan.update(cast(dict[bytes, Planned[int]], planned))
    return plan


def _pure_body(tid: bytes, planned: Plan[int], position: int, first: int, in_memory: bool) -> _Body:
    parts, positions, end, large = _records(tid, planned, position, first)
    parts.append(NUMBER.pack(end - position))
    kept: list[bytes] | None = None
    if in_memory and end - first - large <= _CHUNK_SIZE:
        kept = list(_joined(parts)) if large else [b"".join(cast(list[bytes], parts))]
    return positions, end + NUMBER.size, kept, parts


def _records(
    tid: bytes, planned: Plan[int], position: int, at: int
) -> tuple[list[bytes | Kept], dict[bytes, int], int, int]:
    """Return the records in parts, where each of them stands, and where they end.

    Last, how many bytes of them are in large ones.
    """
    parts: list[bytes | Kept] = []
    positions: dict[bytes, int] = {}
    large = 0
    pack, add = RECORD_HEADER.pack, parts.append
    header_size = RECORD_HEADER.size
    for oid, (data, back, previous) in planned.items():
        positions[oid] = at
        if data is None:
            add(pack(oid, tid, previous or 0, position, 0, 0))
            add(NUMBER.pack(back or 0))
            at += header_size + NUMBER.size
        else:
            size = len(data)
            add(pack(oid, tid, previous or 0, position, 0, size))
            add(data)
            at += header_size + size
            if size >= _LARGE_SIZE:
                large += size
    return parts, positions, at, large


def _joined(parts: list[bytes | Kept]) -> Iterator[bytes]:
    """Yield the parts in order, joined to pieces that are worth a write; large ones alone."""
    start = size = 0
    for number, part in enumerate(parts):
        if len(part) >= _LARGE_SIZE:
            if start < number:
                yield b"".join(map(record_of, parts[start:number]))
            yield record_of(part)
            start, size = number + 1, 0
            continue
        size += len(part)
        if size >= _CHUNK_SIZE:
            yield b"".join(map(record_of, parts[start : number + 1]))
            start, size = number + 1, 0
    if start < len(parts):
        yield b"".join(map(record_of, parts[start:]))


def _batches(pieces: list[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the pieces in portions for one write each."""
    for start in range(0, len(pieces), _PIECES_OF_A_WRITE):
        yield pieces[start : start + _PIECES_OF_A_WRITE]
