"""Encrypted records: AES-256-GCM, bound to their object and to their transaction.

    record := ".e" version:1 flags:1 key:4 check:4 oid:8 [source:8] [blob:16] nonce:24
              ciphertext tag:16 [place:16]

`key` is the id of the key, and `check` a CRC-32 of what stands before it, so that
a key that is missing is told apart from a damaged header. All in front of the
ciphertext is authenticated with it (`oid` is that of the object). The optional
fields are there by `flags`: 1 `source`, 2 `blob`, 4 `place`.

The tid is not known when a record is encrypted, but only in the vote. `place`
is filled in then: a MAC over oid, tid and tag. So a record is good for one
revision of one object. Until then it is zeros, which a reader refuses.

Each record is encrypted with a key of its own, derived from the key at hand and
the first half of the nonce; the second half is the nonce of GCM. Both are random:
with 192 bits they do not repeat, however many records there are.
"""

import hmac
import os
import zlib
from functools import cache
from struct import Struct
from typing import Any, Final

from perdure.errors import (
    DamagedRecordError,
    MisplacedRecordError,
    MissingExtraError,
    TransformError,
    Unsupported,
)
from perdure.ids import ZERO, oid_repr, tid_repr
from perdure.records.keyring import Key, KeyRing
from perdure.records.transforms import NO_FACTS, Facts, is_plain, unknown_marker

__all__ = [
    "BLOB_ID_SIZE",
    "TAG_SIZE",
    "Encryption",
    "aes_gcm",
    "broken_seal",
    "open_sealed",
    "seal",
]

TAG_SIZE: Final = 16
BLOB_ID_SIZE: Final = 16

_VERSION: Final = 1
_SOURCE, _BLOB, _PLACE = 1, 2, 4
_BEFORE_CHECK: Final = Struct(">2sBB4s")
_HEAD: Final = Struct(">2sBB4sI8s")
_NONCE_SIZE: Final = 24
_HALF: Final = 12
_PLACE_SIZE: Final = 16
_NO_PLACE: Final = bytes(_PLACE_SIZE)
_ADVICE: Final = "restore it from a backup or a copy"


@cache
def aes_gcm() -> Any:
    """Return the class for AES-GCM; `MissingExtraError` where its package is not installed."""
    try:
        # An extra, which only some people have.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtraError("encryption", "cryptography", "encrypt") from None
    return AESGCM


def seal(key: bytes, data: bytes, header: bytes) -> bytes:
    """Return nonce, ciphertext and tag of `data`, authenticated with `header`."""
    nonce = os.urandom(_NONCE_SIZE)
    own_key = hmac.digest(key, nonce[:_HALF], "sha256")
    sealed: bytes = aes_gcm()(own_key).encrypt(nonce[_HALF:], data, header + nonce)
    return nonce + sealed


def open_sealed(key: bytes, sealed: bytes, header: bytes) -> bytes:
    """Return the data that `seal` made this of; raises what `broken_seal` is."""
    nonce = sealed[:_NONCE_SIZE]
    own_key = hmac.digest(key, nonce[:_HALF], "sha256")
    data: bytes = aes_gcm()(own_key).decrypt(nonce[_HALF:], sealed[_NONCE_SIZE:], header + nonce)
    return data


@cache
def broken_seal() -> tuple[type[Exception], ...]:
    """Return the errors of what is not as it was sealed."""
    from cryptography.exceptions import InvalidTag

    return (InvalidTag, ValueError)


class Encryption:
    """Encrypts with the current key of a ring, decrypts with all of them.

    With `binding`, records get a place for the tid; whoever writes them calls
    `bind`. Without `plain`, records that are not encrypted are refused.

    Raises `MissingExtraError` if the package `cryptography` is not installed.
    """

    carries = True

    def __init__(self, keys: KeyRing, *, binding: bool = True, plain: bool = True) -> None:
        aes_gcm()
        self.name = "encrypted"
        self.keys = keys
        self.binds = binding
        self._plain = plain

    def transform(self, oid: bytes | None, data: bytes, facts: Facts = NO_FACTS) -> bytes:
        if oid is None:
            raise Unsupported(
                "a record is encrypted together with its oid, which is not known here; "
                "have a storage resolve conflicts by its tryToResolveConflict"
            )
        key = self.keys.current
        flags = _PLACE if self.binds else 0
        extra = b""
        if facts.source != ZERO:
            flags |= _SOURCE
            extra = facts.source
        if facts.blob:
            flags |= _BLOB
            extra += facts.blob
        check = zlib.crc32(_BEFORE_CHECK.pack(b".e", _VERSION, flags, key.id))
        header = _HEAD.pack(b".e", _VERSION, flags, key.id, check, oid) + extra
        stored = header + seal(key.records, data, header)
        return stored + _NO_PLACE if self.binds else stored

    def untransform(self, oid: bytes | None, tid: bytes | None, stored: bytes) -> bytes:
        if is_plain(stored):
            if not self._plain:
                found = "found a record that is not encrypted, which this layer was told to refuse"
                raise TransformError(oid, tid, found, "open it with plain=1 if it may be")
            return stored
        head = _Head(oid, tid, stored)
        key = self.keys.find(head.key_id, oid, tid)
        try:
            data = open_sealed(key.records, stored[head.size : head.end], stored[: head.size])
        except broken_seal():
            found = "its key is at hand, and the record is not what was encrypted with it"
            raise DamagedRecordError(oid, tid, found, _ADVICE) from None
        self._check_place(key, head, oid, tid, stored)
        return data

    def bind(self, oid: bytes, tid: bytes, stored: bytes) -> bytes:
        if is_plain(stored) or not self.binds:
            return stored
        head = _Head(oid, tid, stored)
        if not head.flags & _PLACE:
            return stored
        key = self.keys.find(head.key_id, oid, tid)
        return stored[: head.end] + _place(key, oid, tid, stored[head.end - TAG_SIZE : head.end])

    def facts(self, stored: bytes) -> Facts:
        return NO_FACTS if is_plain(stored) else _Head(None, None, stored).facts

    @staticmethod
    def _check_place(
        key: Key, head: "_Head", oid: bytes | None, tid: bytes | None, stored: bytes
    ) -> None:
        if oid is None:
            return  # whoever asks does not know either
        if head.oid != oid:
            found = f"it is genuine, and belongs to oid {oid_repr(head.oid)}"
            raise MisplacedRecordError(oid, tid, found, _ADVICE)
        if tid is not None and head.flags & _PLACE:
            place = _place(key, oid, tid, stored[head.end - TAG_SIZE : head.end])
            if not hmac.compare_digest(place, stored[head.end :]):
                found = f"it is genuine, and was not written by transaction {tid_repr(tid)}"
                raise MisplacedRecordError(oid, tid, found, _ADVICE)


class _Head:
    """What stands in front of the ciphertext, and where that begins and ends."""

    __slots__ = ("end", "facts", "flags", "key_id", "oid", "size")

    def __init__(self, oid: bytes | None, tid: bytes | None, stored: bytes) -> None:
        if stored[:2] != b".e":
            raise unknown_marker(oid, tid, stored)
        if len(stored) < _HEAD.size:
            raise DamagedRecordError(oid, tid, f"found only {len(stored)} bytes", _ADVICE)
        _, version, self.flags, self.key_id, check, self.oid = _HEAD.unpack_from(stored)
        if check != zlib.crc32(stored[: _BEFORE_CHECK.size]):
            found = "found a damaged header in front of the encrypted record"
            raise DamagedRecordError(oid, tid, found, _ADVICE)
        if version != _VERSION:
            found = f"found version {version} of encrypted records, expected {_VERSION}"
            raise TransformError(oid, tid, found, "read it with the version that wrote it")
        at = _HEAD.size
        source, blob = ZERO, b""
        if self.flags & _SOURCE:
            source, at = stored[at : at + 8], at + 8
        if self.flags & _BLOB:
            blob, at = stored[at : at + BLOB_ID_SIZE], at + BLOB_ID_SIZE
        self.facts = Facts(source, blob) if at > _HEAD.size else NO_FACTS
        self.size = at
        self.end = len(stored) - (_PLACE_SIZE if self.flags & _PLACE else 0)
        if self.end - self.size < _NONCE_SIZE + TAG_SIZE:
            raise DamagedRecordError(oid, tid, f"found only {len(stored)} bytes", _ADVICE)


def _place(key: Key, oid: bytes, tid: bytes, tag: bytes) -> bytes:
    return hmac.digest(key.places, oid + tid + tag, "sha256")[:_PLACE_SIZE]
