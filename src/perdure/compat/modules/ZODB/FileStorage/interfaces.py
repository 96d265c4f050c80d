"""`ZODB.FileStorage.interfaces`: what a packer is, and what it may touch."""

from typing import Any

from zope.interface import Attribute, Interface

__all__ = ["IFileStorage", "IFileStoragePacker"]


class IFileStoragePacker(Interface):
    """Packs a file storage: writes what stays into `….pack`, beside the file."""

    # zope reads the signature off a function without `self`.
    def __call__(storage: Any, referencesf: Any, stop: Any, gc: Any) -> Any:
        """Return (bytes written, index), or None if there is nothing to do."""


class IFileStorage(Interface):
    """What a packer may touch of a file storage."""

    packer = Attribute("the packer, an `IFileStoragePacker`")
    _file = Attribute("the file")
    _lock = Attribute("the lock of the storage")
    _commit_lock = Attribute("the lock that whoever commits holds")
