"""The schemes that Perdure brings: one storage each, and how its options are spelled."""

from collections.abc import Sequence
from pathlib import Path

from perdure.interfaces import Storage
from perdure.opening.address import Address, Form
from perdure.opening.options import FLAG, SIZE, TEXT, TIME
from perdure.opening.registry import Scheme, register
from perdure.storages.before import BeforeStorage
from perdure.storages.demo import DemoStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage

__all__ = ["BUILT_IN"]


def _open_file(address: Address, layers: Sequence[Storage]) -> Storage:
    options = address.options
    blob_dir = options.get("blob_dir", options.get("blobstorage_dir"))
    return FileStorage(
        _path(address.text),
        create=options.get("create", False),
        read_only=options.get("read_only", False),
        quota=options.get("quota"),
        pack_gc=options.get("pack_gc", True),
        pack_keep_old=options.get("pack_keep_old", True),
        blob_dir=None if blob_dir is None else _path(blob_dir),
    )


def _open_memory(address: Address, layers: Sequence[Storage]) -> Storage:
    return MappingStorage(address.text or "memory:")


def _open_demo(address: Address, layers: Sequence[Storage]) -> Storage:
    base, *changes = layers
    return DemoStorage(base=base, changes=changes[0] if changes else None)


def _open_before(address: Address, layers: Sequence[Storage]) -> Storage:
    return BeforeStorage(layers[0], address.text)


def _path(text: str) -> str:
    return str(Path(text).expanduser())


BUILT_IN = (
    Scheme(
        Form(
            "file",
            "file:app.fs",
            text="path",
            text_needed=True,
            options={
                "blob_dir": TEXT,
                "blobstorage_dir": TEXT,  # zodburi's name for it
                "create": FLAG,
                "pack_gc": FLAG,
                "pack_keep_old": FLAG,
                "path": TEXT,
                "quota": SIZE,
                "read_only": FLAG,
            },
        ),
        _open_file,
    ),
    Scheme(Form("memory", "memory:", text="name"), _open_memory),
    Scheme(
        Form(
            "demo",
            "demo:(file:base.fs)/(file:changes.fs)",
            min_layers=1,
            max_layers=2,
            layers_only_read=1,
        ),
        _open_demo,
    ),
    Scheme(
        Form(
            "before",
            "before:2026-11-01T00:00Z/(file:app.fs)",
            text="time",
            text_needed=True,
            text_kind=TIME,
            min_layers=1,
            max_layers=1,
            layers_only_read=1,
        ),
        _open_before,
    ),
)

for scheme in BUILT_IN:
    register(scheme)
