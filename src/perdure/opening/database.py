"""`DB`: a database over a storage, a file, or memory."""

from collections.abc import Callable, Iterable
from os import PathLike
from os.path import exists
from typing import Any

from perdure.errors import AddressError
from perdure.objects.connection import Connection
from perdure.objects.database import Database
from perdure.storages.file import FileStorage
from perdure.storages.file.checkpoints import CHECKPOINT_BYTES
from perdure.storages.file.loading import Progress
from perdure.storages.file.reserve import RESERVE_BYTES
from perdure.storages.file.storage import Packer

__all__ = ["DB", "ClassFactory"]

ClassFactory = Callable[[Connection, str, str], Any]

_OF_FILE = (False, False, None, None, True, True, None, None)
"""The options of a file as they are where nobody gives any."""


class DB(Database):
    """A database over a storage, a file given by its path, or memory (None).

    A path is taken as it stands and means a `FileStorage`, whose arguments the
    keywords from `create` on are. `open` takes addresses; text that is one, and
    names no file that exists, is refused here (a `pathlib.Path` never is). The other arguments
    are those of `Database`. Closing the database closes the storage.
    """

    def __init__(
        self,
        storage: Any,
        pool_size: int = 7,
        pool_timeout: float = 1 << 31,
        cache_size: int = 400,
        cache_size_bytes: int = 0,
        historical_pool_size: int = 3,
        historical_cache_size: int = 1000,
        historical_cache_size_bytes: int = 0,
        historical_timeout: float = 300,
        database_name: str = "unnamed",
        databases: dict[str, Any] | None = None,
        xrefs: bool = True,
        large_record_size: int = 1 << 24,
        class_factory: ClassFactory | None = None,
        classes: Iterable[str] | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        stop: bytes | None = None,
        quota: int | None = None,
        pack_gc: bool = True,
        pack_keep_old: bool = True,
        packer: Packer | None = None,
        blob_dir: str | PathLike[str] | None = None,
        checkpoint_bytes: int | None = CHECKPOINT_BYTES,
        progress: Progress | None = None,
        verify_reads: bool = False,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        given = storage
        of_file = create, read_only, stop, quota, pack_gc, pack_keep_old, packer, blob_dir
        more = checkpoint_bytes, progress, verify_reads, reserve_bytes
        if isinstance(storage, str):
            _refuse_address(storage)
        if isinstance(storage, str | PathLike):
            storage = FileStorage(
                storage,
                *of_file,
                checkpoint_bytes=checkpoint_bytes,
                progress=progress,
                verify_reads=verify_reads,
                reserve_bytes=reserve_bytes,
            )
        elif (of_file, more) != (_OF_FILE, (CHECKPOINT_BYTES, None, False, RESERVE_BYTES)):
            raise TypeError("options of a file are for a database that is given by its path")
        elif storage is None:
            from perdure.storages.memory import MappingStorage  # brings BTrees, so it is slow

            storage = MappingStorage()
        try:
            super().__init__(
                storage,
                pool_size=pool_size,
                pool_timeout=pool_timeout,
                cache_size=cache_size,
                cache_size_bytes=cache_size_bytes,
                historical_pool_size=historical_pool_size,
                historical_cache_size=historical_cache_size,
                historical_cache_size_bytes=historical_cache_size_bytes,
                historical_timeout=historical_timeout,
                database_name=database_name,
                databases=databases,
                xrefs=xrefs,
                large_record_size=large_record_size,
                class_factory=class_factory,
                classes=classes,
            )
        except BaseException:
            # Whoever made the storage closes it: here, or the caller.
            if storage is not given:
                storage.close()
            raise


def _refuse_address(path: str) -> None:
    """Raise if `path` is an address: a new file of that name is hardly what is meant."""
    scheme, colon, _rest = path.partition(":")
    if not colon or exists(path):
        return
    from perdure.opening.registry import forms  # slow to load, and this path is a rare one

    if scheme in forms:
        raise AddressError(
            path, f"{scheme}:", "begins an address, not a path", f"perdure.open({path!r})"
        )
