"""Transaction metadata that are encrypted: user, description and extension in one.

Below, a transaction has no user and no description, and an extension with one
item: "perdure.sealed", bytes.

    sealed := key:4 nonce:24 ciphertext tag:16

The tid is not known when a transaction begins, so they are not bound to it.
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any, Final

from perdure.errors import DamagedRecordError
from perdure.interfaces import HasMetaData, TransactionMetaData
from perdure.records.encryption import broken_seal, open_sealed, seal
from perdure.records.keyring import ID_SIZE, KeyRing
from perdure.storages import undolog

__all__ = ["SealedMetadata"]

_ITEM: Final = "perdure.sealed"
_PAGE: Final = 100
_SIZES: Final = Struct(">II")
_CONTEXT: Final = b"metadata 1 "


class SealedMetadata:
    """Encrypts the metadata of transactions, and decrypts them wherever they show."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def sealed(self, transaction: HasMetaData) -> TransactionMetaData:
        """Return what the storage below is told about a transaction."""
        user, description = transaction.user, transaction.description
        plain = b"".join(
            (
                _SIZES.pack(len(user), len(description)),
                user,
                description,
                transaction.extension_bytes,
            )
        )
        key = self._keys.current
        sealed = key.id + seal(key.metadata, plain, _CONTEXT + key.id)
        return TransactionMetaData(extension={_ITEM: sealed})

    def opened(
        self, tid: bytes, user: bytes, description: bytes, extension: bytes
    ) -> tuple[bytes, bytes, bytes]:
        """Return user, description and extension as they were; plain ones as they are."""
        if _ITEM.encode() not in extension:
            return user, description, extension
        item = undolog.items_of(extension).get(_ITEM)
        return (user, description, extension) if item is None else self._open(tid, item)

    def described(self, entry: Mapping[str, Any], tid: bytes) -> dict[str, Any]:
        """Return an entry of a history or of an undo log as it was without encryption."""
        item = entry.get(_ITEM)
        if item is None:
            return dict(entry)
        user, description, extension = self._open(tid, item)
        plain = {name: value for name, value in entry.items() if name != _ITEM}
        plain |= {"user_name": user, "description": description}
        return {**undolog.items_of(extension), **plain}

    def undo_log(self, base: Any) -> Iterator[dict[str, Any]]:
        """Yield what can be undone in `base`, newest first, as it was without encryption."""
        first = 0
        while True:
            page = base.undoLog(first, first + _PAGE)
            for entry in page:
                yield self.described(entry, undolog.undone_tid(entry["id"]))
            first += len(page)
            if len(page) < _PAGE:
                return

    def _open(self, tid: bytes, item: bytes) -> tuple[bytes, bytes, bytes]:
        key = self._keys.find(item[:ID_SIZE], None, tid)
        try:
            plain = open_sealed(key.metadata, item[ID_SIZE:], _CONTEXT + key.id)
        except broken_seal():
            found = "its key is at hand, and the metadata are not what was encrypted with it"
            advice = "the records may be read even so, without encrypted metadata"
            raise DamagedRecordError(None, tid, found, advice) from None
        user_size, description_size = _SIZES.unpack_from(plain)
        at = _SIZES.size + user_size
        end = at + description_size
        return plain[_SIZES.size : at], plain[at:end], plain[end:]
