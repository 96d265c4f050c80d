"""Keys for encrypting: one to write with, more to read what was written earlier.

A key is 32 random bytes. What is used is never the key itself: each use has a
key of its own, derived with HMAC-SHA256, and so has the key's id, which stands in
everything that was encrypted with it. A wrong key thus has another id.
"""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perdure.errors import UnknownKeyError

__all__ = ["ID_SIZE", "KEY_SIZE", "Key", "KeyRing", "new_key"]

KEY_SIZE: Final = 32
ID_SIZE: Final = 4


def new_key() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(KEY_SIZE)


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """What is derived from one key: its id, and a key for each use."""

    id: bytes
    records: bytes
    places: bytes
    blobs: bytes
    metadata: bytes

    def __repr__(self) -> str:
        return f"<Key {self.id.hex()}>"  # and never what is secret


def derive(key: bytes) -> Key:
    """Return what is used of a key; `ValueError` if it is not 32 bytes."""
    if len(key) != KEY_SIZE:
        raise ValueError(f"a key of {len(key)} bytes, expected {KEY_SIZE}")

    def use(name: bytes) -> bytes:
        return hmac.digest(key, b"perdure 1 " + name, "sha256")

    return Key(
        use(b"id")[:ID_SIZE], use(b"records"), use(b"places"), use(b"blobs"), use(b"metadata")
    )


class KeyRing:
    """The keys at hand: `current` to write with, then those that were used before.

    Raises `ValueError` for what is no key.
    """

    def __init__(self, current: bytes, older: Iterable[bytes] = ()) -> None:
        self.current = derive(current)
        self._by_id = {key.id: key for key in map(derive, older)}
        self._by_id[self.current.id] = self.current

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, in hexadecimal, that to write with first."""
        current = self.current.id
        return (current.hex(), *(each.hex() for each in self._by_id if each != current))

    def find(self, key_id: bytes, oid: bytes | None = None, tid: bytes | None = None) -> Key:
        """Return the key with an id; `UnknownKeyError`, naming the record, if there is none."""
        key = self._by_id.get(key_id)
        if key is None:
            raise UnknownKeyError(oid, tid, key_id.hex(), self.ids)
        return key
