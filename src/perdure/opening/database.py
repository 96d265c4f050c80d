"""From an address, a path or a storage to a database: the places where they meet."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from os import PathLike, environ, fspath
from os.path import exists
from typing import Any, Final

from perdure.errors import AddressError
from perdure.interfaces import Storage
from perdure.objects.connection import Connection
from perdure.objects.database import Database
from perdure.opening.address import Address, parse_address, read_only_address
from perdure.opening.options import ADDRESS_DEFAULTS
from perdure.opening.registry import forms, scheme_named
from perdure.storages.file import FileStorage
from perdure.storages.file.checkpoints import CHECKPOINT_BYTES
from perdure.storages.file.loading import Progress
from perdure.storages.file.storage import Packer
from perdure.storages.memory import MappingStorage

__all__ = ["DB", "ENVIRONMENT_VARIABLE", "connection", "open", "open_storage", "parse"]

ENVIRONMENT_VARIABLE: Final = "PERDURE_ADDRESS"
"""Where the address stands that is used when none is given."""

ClassFactory = Callable[[Connection, str, str], Any]
Path = str | PathLike[str]

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
    ) -> None:
        given = storage
        of_file = create, read_only, stop, quota, pack_gc, pack_keep_old, packer, blob_dir
        more = checkpoint_bytes, progress, verify_reads
        if isinstance(storage, str):
            _refuse_address(storage)
        if isinstance(storage, str | PathLike):
            storage = FileStorage(
                storage,
                *of_file,
                checkpoint_bytes=checkpoint_bytes,
                progress=progress,
                verify_reads=verify_reads,
            )
        elif (of_file, more) != (_OF_FILE, (CHECKPOINT_BYTES, None, False)):
            raise TypeError("options of a file are for a database that is given by its path")
        elif storage is None:
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


def open(  # noqa: A001  the name that people look for: perdure.open
    address: Path | None = None,
    *,
    read_only: bool = False,
    databases: dict[str, Any] | None = None,
    class_factory: ClassFactory | None = None,
    classes: Iterable[str] | None = None,
) -> DB:
    """Return the database at an address, such as ``file:app.fs?cache_size=5000``.

    Without an address, the environment variable ``PERDURE_ADDRESS`` has it. A
    `PathLike` is a path, whatever is in it. `read_only` does without the right to
    write, in every storage of the address. The other arguments are those of `DB`;
    what they say goes before what the address says. Caches hold 10,000 objects
    unless the address says otherwise.

    Raises `AddressError` if the address cannot be understood, or there is none.
    """
    parsed = parse(address, read_only=read_only)
    of_scheme = scheme_named(parsed.scheme).database_options(parsed)
    options = {**ADDRESS_DEFAULTS, **of_scheme, **parsed.database}
    if class_factory is not None:
        options["class_factory"] = class_factory
    if classes is not None:
        options["classes"] = classes
    storage = _open_storage(parsed)
    try:
        return DB(storage, databases=databases, **options)
    except BaseException:
        storage.close()
        raise


def _refuse_address(path: str) -> None:
    """Raise if `path` is an address: a new file of that name is hardly what is meant."""
    scheme, colon, _rest = path.partition(":")
    if colon and scheme in forms and not exists(path):
        raise AddressError(
            path, f"{scheme}:", "begins an address, not a path", f"perdure.open({path!r})"
        )


def connection(
    address: Path | None = None,
    *,
    read_only: bool = False,
    classes: Iterable[str] | None = None,
) -> Connection:
    """Return a connection to the database at an address; closing it closes the database.

    The address is what `open` takes. Like ZODB's `connection`, but for addresses,
    of which a path is one.
    """
    db = open(address, read_only=read_only, classes=classes)
    return db.open_then_close_db_when_connection_closes()


def open_storage(address: Path | Address | None = None) -> Storage:
    """Return the storage at an address, without a database; see `open`.

    Raises `AddressError` if the address cannot be understood, or has options of
    the database, which nobody would heed.
    """
    return _open_storage(address if isinstance(address, Address) else parse(address))


def parse(address: Path | None = None, *, read_only: bool = False) -> Address:
    """Return what an address says, for the schemes that are known here.

    Without an address it is what ``PERDURE_ADDRESS`` says. With `read_only`, every
    storage in it is opened without the right to write.
    """
    if address is None:
        address = _address_in_environment()
    if isinstance(address, str):
        parsed = parse_address(address, forms)
    else:
        parsed = Address("file", fspath(address))
    return read_only_address(parsed, forms) if read_only else parsed


def _address_in_environment() -> str:
    address = environ.get(ENVIRONMENT_VARIABLE, "")
    if not address:
        reason = "is not set in the environment, and no address was given"
        raise AddressError("", ENVIRONMENT_VARIABLE, reason)
    return address


def _open_storage(address: Address) -> Storage:
    scheme = scheme_named(address.scheme)
    with ExitStack() as opened:
        layers: list[Any] = []
        for number, layer in enumerate(address.layers):
            if number < scheme.form.layers_only_read:
                layer = read_only_address(layer, forms)
            if scheme.form.layers_opened is not None and number >= scheme.form.layers_opened:
                layers.append(partial(_open_storage, layer))
                continue
            storage = _open_storage(layer)
            opened.callback(storage.close)
            layers.append(storage)
        storage = scheme.open(address, tuple(layers))
        opened.pop_all()  # they belong to the storage now
        return storage
