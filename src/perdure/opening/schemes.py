"""The schemes of storages that stand on no other: a file, and memory.

How their options are spelled stands here, too. Each is one of `SCHEMES`, for `registry`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perdure.blobs import LAWN, open_blob_directory
from perdure.errors import AddressError
from perdure.fileops import FileOperations
from perdure.interfaces import Storage
from perdure.opening.address import Address, Form
from perdure.opening.options import FLAG, PATH, SIZE, TIME, one_of
from perdure.opening.registry import Scheme
from perdure.opening.writing import address_text
from perdure.storages.file import FileStorage
from perdure.storages.file.checkpoints import CHECKPOINT_BYTES
from perdure.storages.file.reserve import RESERVE_BYTES
from perdure.storages.memory import MappingStorage

__all__ = ["SCHEMES"]


def _open_file(address: Address, layers: Sequence[Storage]) -> Storage:
    options = address.options
    read_only, create = options.get("read_only", False), options.get("create", False)
    if read_only and create:
        reason = "cannot be asked of a file that is only read, as the base of a layer is"
        raise AddressError(address_text(address), "create=1", reason)
    storage = FileStorage(
        _path(address.text),
        create=create,
        read_only=read_only,
        quota=options.get("quota"),
        pack_gc=options.get("pack_gc", True),
        pack_keep_old=options.get("pack_keep_old", True),
        blob_dir=_blob_directory(options, read_only),
        checkpoint_bytes=options.get("checkpoint_bytes", CHECKPOINT_BYTES),
        stop=options.get("stop"),
        verify_reads=options.get("verify_reads", False),
        reserve_bytes=options.get("reserve_bytes", RESERVE_BYTES),
    )
    if not options.get("demostorage"):
        return storage
    from perdure.storages.demo import DemoStorage  # with layers under it that few files need

    return DemoStorage(base=storage)


def _blob_directory(options: Mapping[str, Any], read_only: bool) -> str | None:
    given = options.get("blob_dir", options.get("blobstorage_dir"))
    if given is None:
        return None
    path = _path(given)
    if options.get("blobstorage_layout") == "lawn" and not read_only:
        # A directory that is there already keeps the layout that it has.
        open_blob_directory(Path(path), FileOperations(), new_layout=LAWN)
    return path


def _open_memory(address: Address, layers: Sequence[Storage]) -> Storage:
    return MappingStorage(address.text or "memory:")


def _path(text: str) -> str:
    return str(Path(text).expanduser())


SCHEMES = (
    Scheme(
        Form(
            "file",
            "file:app.fs",
            text="path",
            text_needed=True,
            text_kind=PATH,
            options={
                "blob_dir": PATH,
                "blobstorage_dir": PATH,  # zodburi's name for it
                "blobstorage_layout": one_of("automatic", "bushy", "lawn"),
                "checkpoint_bytes": SIZE,
                "create": FLAG,
                "demostorage": FLAG,  # zodburi's way to put changes in memory over it
                "pack_gc": FLAG,
                "pack_keep_old": FLAG,
                "path": PATH,
                "quota": SIZE,
                "read_only": FLAG,
                "reserve_bytes": SIZE,
                "stop": TIME,
                "verify_reads": FLAG,
            },
        ),
        _open_file,
    ),
    Scheme(Form("memory", "memory:", text="name"), _open_memory),
)
