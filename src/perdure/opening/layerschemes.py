"""The schemes of layers: over a base, in the past, transforming records, replicating them."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from perdure.errors import AddressError
from perdure.interfaces import Storage
from perdure.opening.address import Address, Form
from perdure.opening.options import FLAG, PATH, SECONDS, TEXT, TIME, level_up_to
from perdure.opening.registry import Scheme
from perdure.opening.writing import address_text
from perdure.records.compression import Compression
from perdure.storages.before import BeforeStorage
from perdure.storages.demo import DemoStorage
from perdure.storages.dictionaries import read_dictionary
from perdure.storages.keys import keys_from_environment, keys_from_file
from perdure.storages.layers import compressed, encrypted
from perdure.storages.replica import check_backup
from perdure.storages.replicating import ReplicatingStorage

__all__ = ["SCHEMES"]

log = logging.getLogger("perdure.opening")

_MOST_BACKUPS = 8


def _open_demo(address: Address, layers: Sequence[Storage]) -> Storage:
    base, *changes = layers
    return DemoStorage(base=base, changes=changes[0] if changes else None)


def _open_before(address: Address, layers: Sequence[Storage]) -> Storage:
    return BeforeStorage(layers[0], address.text)


def _open_zstd(address: Address, layers: Sequence[Storage]) -> Storage:
    names = [name for name in ("dictionary", "old_dictionary") if name in address.options]
    return compressed(
        layers[0],
        level=address.options.get("level"),
        dictionaries=[_dictionary(address, name) for name in names],
    )


def _dictionary(address: Address, name: str) -> bytes:
    path = address.options[name]
    content = read_dictionary(Path(path).expanduser())
    try:
        Compression(dictionaries=[content])
    except ValueError as error:
        reason = f"does not lead to a dictionary: {error}"
        raise AddressError(address_text(address), f"{name}={path}", reason) from None
    return content


def _open_zlib(address: Address, layers: Sequence[Storage]) -> Storage:
    return compressed(layers[0], "zlib", level=address.options.get("level"))


def _open_encrypt(address: Address, layers: Sequence[Storage]) -> Storage:
    options = address.options
    if ("key_file" in options) == ("key_env" in options):
        raise _not_one_key(address)
    if "key_file" in options:
        keys = keys_from_file(Path(options["key_file"]).expanduser())
    else:
        keys = keys_from_environment(options["key_env"])
    return encrypted(
        layers[0],
        keys,
        metadata=options.get("metadata", False),
        plain=options.get("plain", True),
    )


def _not_one_key(address: Address) -> AddressError:
    text = address_text(address)
    options = dict(address.options)
    if "key_env" in options:
        del options["key_env"]
        reason = "is given beside key_file: give either key_file or key_env"
        return AddressError(
            text, "key_env", reason, address_text(replace(address, options=options))
        )
    options["key_file"] = "app.key"
    reason = "names no key: give either key_file or key_env"
    return AddressError(text, text, reason, address_text(replace(address, options=options)))


def _open_replicate(address: Address, layers: Sequence[Any]) -> Storage:
    primary, *openers = layers
    if primary.isReadOnly():
        opened: Storage = primary  # nothing will be committed, so nothing is replicated
        return opened
    with ExitStack() as failing:
        storage = ReplicatingStorage(
            primary,
            *(_backup(primary, opener, failing) for opener in openers),
            synchronous=address.options.get("synchronous", False),
            timeout_s=address.options.get("timeout", 10.0),
        )
        failing.pop_all()
    return storage


def _backup(
    primary: Storage, opener: Callable[[], Storage], failing: ExitStack
) -> Callable[[], Storage]:
    """Return a function that returns a backup, which is opened already unless it is away.

    So what is no backup of `primary` is an error now, and one that is away is opened later.
    """
    try:
        backup = opener()
    except OSError as error:
        log.warning("a backup is away, it will be tried again: %s", error)
        return opener
    failing.callback(backup.close)
    check_backup(primary, backup)
    there = [backup]
    return lambda: there.pop() if there else opener()


_DEMO = Form(
    "demo",
    "demo:(file:base.fs)/(file:changes.fs)",
    min_layers=1,
    max_layers=2,
    layers_only_read=1,
)
_BEFORE = Form(
    "before",
    "before:2026-11-01T00:00Z/(file:app.fs)",
    text="time",
    text_needed=True,
    text_kind=TIME,
    min_layers=1,
    max_layers=1,
    layers_only_read=1,
)
_ZSTD = Form(
    "zstd",
    "zstd:(file:app.fs)",
    min_layers=1,
    max_layers=1,
    options={"level": level_up_to(22), "dictionary": PATH, "old_dictionary": PATH},
)
_ZLIB = Form(
    "zlib", "zlib:(file:app.fs)", min_layers=1, max_layers=1, options={"level": level_up_to(9)}
)
_ENCRYPT = Form(
    "encrypt",
    "encrypt:(file:app.fs)?key_file=app.key",
    min_layers=1,
    max_layers=1,
    options={"key_file": PATH, "key_env": TEXT, "metadata": FLAG, "plain": FLAG},
)
_REPLICATE = Form(
    "replicate",
    "replicate:(file:app.fs)/(file:backup.fs)",
    min_layers=2,
    max_layers=1 + _MOST_BACKUPS,
    layers_opened=1,
    options={"synchronous": FLAG, "timeout": SECONDS},
)

SCHEMES = (
    Scheme(_DEMO, _open_demo),
    Scheme(_BEFORE, _open_before),
    Scheme(_ZSTD, _open_zstd),
    Scheme(_ZLIB, _open_zlib),
    Scheme(_ENCRYPT, _open_encrypt),
    Scheme(_REPLICATE, _open_replicate),
)
