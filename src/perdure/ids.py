"""Oids and tids: the 8-byte names of objects and of transactions.

Both are `bytes` of length 8, unsigned and big-endian, so that byte order is
number order. An oid names an object for as long as it lives; the root is
`ROOT_OID`. A tid names a transaction and is also the serial of every record
that the transaction wrote; `clock` knows which moment a tid stands for.
"""

from typing import Final

__all__ = [
    "MAX_TID",
    "ROOT_OID",
    "ZERO",
    "after",
    "before",
    "oid_repr",
    "p64",
    "parse_oid",
    "tid_repr",
    "u64",
]

ZERO: Final = b"\0" * 8
"""The tid before every transaction; as a serial: "this object is new"."""

ROOT_OID: Final = ZERO
"""The oid of the root mapping of every database."""

MAX_TID: Final = b"\x7f" + b"\xff" * 7
"""Later than every tid (ZODB's bound, kept: some storages use signed integers)."""

_LAST: Final = b"\xff" * 8


def p64(number: int) -> bytes:
    """Return `number` as an 8-byte oid or tid.

    Raises `ValueError` if it does not fit into 64 unsigned bits.
    """
    try:
        return number.to_bytes(8, "big")
    except OverflowError:
        raise ValueError(f"{number} does not fit into 64 unsigned bits") from None


def u64(packed: bytes) -> int:
    """Return the number that the 8 bytes of an oid or a tid stand for.

    Raises `ValueError` if `packed` is not 8 bytes long.
    """
    if len(packed) != 8:
        raise ValueError(f"expected 8 bytes, found {len(packed)}: {packed!r}")
    return int.from_bytes(packed, "big")


def after(tid: bytes) -> bytes:
    """Return the smallest tid later than `tid`: what `loadBefore` needs to see `tid`.

    Raises `ValueError` if `tid` is not 8 bytes long, or if there is none.
    """
    if len(tid) != 8 or tid == _LAST:
        return p64(u64(tid) + 1)  # which says what is wrong
    # Each commit asks some times, so without their two calls.
    return (int.from_bytes(tid, "big") + 1).to_bytes(8, "big")


def before(tid: bytes) -> bytes:
    """Return the largest tid earlier than `tid`, or `ZERO` for `ZERO`."""
    return p64(max(u64(tid), 1) - 1)


def oid_repr(oid: object) -> str:
    """Return `oid` as people read it: ``0x1a``; anything but 8 bytes as its `repr`."""
    if isinstance(oid, bytes) and len(oid) == 8:
        return hex(u64(oid))
    return repr(oid)


def tid_repr(tid: object) -> str:
    """Return `tid` in full: ``0x03f1c2a4b5d6e7f8``; anything but 8 bytes as its `repr`."""
    if isinstance(tid, bytes) and len(tid) == 8:
        return "0x" + tid.hex()
    return repr(tid)


def parse_oid(text: str) -> bytes:
    """Return the oid that a person wrote: ``0x1a``, ``1a`` in hexadecimal, or 16 digits.

    Raises `ValueError` saying what was expected if it is none of these.
    """
    try:
        return p64(int(text, 16))
    except ValueError:
        raise ValueError(f"{text!r} is not an oid: expected hexadecimal, such as 0x1a") from None
