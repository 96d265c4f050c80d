"""A blob directory with the calls that storages written for ZODB make of it."""

import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

from perdure.blobs import BLOB_SUFFIX, BUSHY, LAWN
from perdure.blobs.layout import MARKER, TEMPORARY, blob_name, tid_in

__all__ = [
    "LAYOUTS",
    "BushyLayout",
    "FilesystemHelper",
    "LawnLayout",
    "NoBlobsFileSystemHelper",
    "auto_layout_select",
]

logger = logging.getLogger("ZODB.blob")

_PRIVATE: Final = 0o700


class BushyLayout:
    """A directory for each byte of an oid."""

    blob_path_pattern = re.compile(r"(0x[0-9a-f]{1,2}\/){7,7}0x[0-9a-f]{1,2}$")

    def oid_to_path(self, oid: bytes) -> str:
        """Return the directory of an oid, relative to the blob directory."""
        return BUSHY.directory(oid).replace("/", os.path.sep)

    def path_to_oid(self, path: str) -> bytes:
        """Return the oid whose directory this is; `ValueError` if it is none's."""
        return _or_refuse(BUSHY.oid(path.replace(os.path.sep, "/")), path)

    def getBlobFilePath(self, oid: bytes, tid: bytes) -> str:
        """Return the path of one revision, relative to the blob directory."""
        return os.path.join(self.oid_to_path(oid), blob_name(tid))


class LawnLayout(BushyLayout):
    """A directory for each object, all side by side."""

    def oid_to_path(self, oid: bytes) -> str:
        return LAWN.directory(oid)

    def path_to_oid(self, path: str) -> bytes:
        # The directory for temporary files is no oid.
        return _or_refuse(None if path == TEMPORARY else LAWN.oid(path), path)


def _or_refuse(oid: bytes | None, path: str) -> bytes:
    if oid is None:
        raise ValueError(f"{path!r} is not the directory of an object in this layout")
    return oid


LAYOUTS: dict[str, BushyLayout] = {"bushy": BushyLayout(), "lawn": LawnLayout()}
"""The layouts by name; storages with a cache of blobs add their own."""


def auto_layout_select(path: str) -> str:
    """Return the name of the layout that a directory has, or would get."""
    try:
        with open(os.path.join(path, MARKER), encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        pass
    try:
        names = [name for name in os.listdir(path) if name[0] != "." and name != TEMPORARY]
    except FileNotFoundError:
        names = []
    # Older directories say nothing about themselves, and are lawns.
    return "lawn" if names else "bushy"


class FilesystemHelper:
    """The directory `base_dir`, its files found by the layout of this name."""

    def __init__(self, base_dir: str, layout_name: str = "automatic") -> None:
        self.base_dir = os.path.abspath(base_dir) + os.path.sep
        self.temp_dir = os.path.join(base_dir, TEMPORARY)
        if layout_name == "automatic":
            layout_name = auto_layout_select(base_dir)
        self.layout_name = layout_name
        self.layout = LAYOUTS[layout_name]

    def create(self) -> None:
        """Make what is missing; `ValueError` if the directory has another layout."""
        os.makedirs(self.base_dir, _PRIVATE, exist_ok=True)
        os.makedirs(self.temp_dir, _PRIVATE, exist_ok=True)
        marker = os.path.join(self.base_dir, MARKER)
        if not os.path.exists(marker):
            with open(marker, "w", encoding="utf-8") as file:
                file.write(self.layout_name)
            return
        with open(marker, encoding="utf-8") as file:
            found = file.read().strip()
        if found != self.layout_name:
            raise ValueError(
                f"{self.base_dir}: found the layout {found!r}, expected {self.layout_name!r}"
            )

    def isSecure(self, path: str) -> bool:
        """Return whether only its owner can look into `path`."""
        return stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0

    def checkSecure(self) -> None:
        """Warn, in the log, if others than the owner can look into the directory."""
        if not self.isSecure(self.base_dir):
            logger.warning("others than its owner can look into %s", self.base_dir)

    def getPathForOID(self, oid: bytes, create: bool = False) -> str:
        """Return the directory of an object; with `create`, it is there when this returns."""
        path = os.path.join(self.base_dir, self.layout.oid_to_path(oid))
        if create:
            os.makedirs(path, _PRIVATE, exist_ok=True)
        return path

    def createPathForOID(self, oid: bytes) -> str:
        return self.getPathForOID(oid, create=True)

    def getOIDForPath(self, path: str) -> bytes:
        """Return the oid whose directory this is; `ValueError` if it is none's."""
        return self.layout.path_to_oid(os.path.relpath(path, self.base_dir))

    def getBlobFilename(self, oid: bytes, tid: bytes) -> str:
        """Return the path of one revision."""
        return os.path.join(self.base_dir, self.layout.getBlobFilePath(oid, tid))

    def blob_mkstemp(self, oid: bytes, tid: bytes) -> tuple[int, str]:
        """Return descriptor and path of a new temporary file, in the directory of its object.

        A server that shares the directory with its clients looks for it there.
        """
        return tempfile.mkstemp(
            suffix=".tmp",
            prefix=os.path.basename(self.getBlobFilename(oid, tid)),
            dir=self.getPathForOID(oid),
        )

    def splitBlobFilename(self, filename: str) -> tuple[bytes | None, bytes | None]:
        """Return oid and tid of a blob's file, or (None, None) if it is none."""
        directory, name = os.path.split(filename)
        tid = tid_in(name) if name.endswith(BLOB_SUFFIX) else None
        return (None, None) if tid is None else (self.getOIDForPath(directory), tid)

    def getOIDsForSerial(self, search_serial: bytes) -> list[bytes]:
        """Return the oids of the blobs that a transaction wrote; it looks at all of them."""
        name = blob_name(search_serial)
        return [oid for oid, path in self.listOIDs() if os.path.exists(os.path.join(path, name))]

    def listOIDs(self) -> Iterator[tuple[bytes, str]]:
        """Yield oid and directory of each object that has one."""
        for path, directories, _files in os.walk(self.base_dir):
            if os.path.samefile(path, self.base_dir) and TEMPORARY in directories:
                directories.remove(TEMPORARY)
            try:
                oid = self.getOIDForPath(path)
            except ValueError:
                continue  # on the way to one
            directories.clear()
            yield oid, path


class NoBlobsFileSystemHelper:
    """Stands where a storage without blobs would have its directory, and says so."""

    @property
    def temp_dir(self) -> str:
        raise TypeError("Blobs are not supported")

    @property
    def getPathForOID(self) -> str:
        raise TypeError("Blobs are not supported")

    @property
    def getBlobFilename(self) -> str:
        raise TypeError("Blobs are not supported")
