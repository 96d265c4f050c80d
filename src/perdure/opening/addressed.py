"""What stands at an address, opened: a storage, a database, a connection."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from os import PathLike, environ, fspath
from typing import Any, Final

from perdure.errors import AddressError
from perdure.interfaces import Storage
from perdure.objects.connection import Connection
from perdure.opening.address import Address, parse_address, read_only_address
from perdure.opening.database import DB, ClassFactory
from perdure.opening.options import ADDRESS_DEFAULTS
from perdure.opening.registry import forms, scheme_named

__all__ = ["ENVIRONMENT_VARIABLE", "connection", "open", "open_storage", "parse"]

ENVIRONMENT_VARIABLE: Final = "PERDURE_ADDRESS"
"""Where the address stands that is used when none is given."""

Path = str | PathLike[str]


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
