"""Compressed records: zstd, with a trained dictionary or without, and zlib.

    record := ".z" zlib stream               as zc.zlibstorage has it
            | ".s" zstd frame
            | ".d" zstd frame                which says the id of its dictionary

A record that does not get smaller stays plain. Whatever is written, all of them
are read, and plain records too.
"""

import threading
import zlib
from collections.abc import Iterable
from typing import Any, Final

from perdure.errors import (
    DamagedRecordError,
    MissingExtraError,
    UnknownDictionaryError,
)
from perdure.records.transforms import NO_FACTS, Facts, is_plain, unknown_marker

__all__ = ["METHODS", "Compression", "zstandard"]

METHODS: Final = ("zstd", "zlib")

_SMALL_BYTES: Final = 20
"""Records up to this size are not tried, as zc.zlibstorage does not."""

_LEVELS: Final = {"zstd": 3, "zlib": -1}  # what each has for a default
_ADVICE: Final = "restore it from a backup or a copy"


def zstandard() -> Any:
    """Return the package `zstandard`; `MissingExtraError` where it is not installed."""
    try:
        import zstandard as package  # an extra, which only some people have
    except ImportError:
        raise MissingExtraError("compressing with zstd", "zstandard", "compress") from None
    return package


class Compression:
    """Compresses with `method`, "zstd" or "zlib"; reads both.

    `level` is that of the method, None for its default. With `dictionaries`, each the
    bytes of a trained one, zstd compresses with the first and reads with all of them.

    Raises `MissingExtraError` if zstd is needed and not installed, here or at the
    first record that needs it, and `ValueError` for what is no dictionary.
    """

    binds = False
    carries = False

    def __init__(
        self, method: str = "zstd", level: int | None = None, dictionaries: Iterable[bytes] = ()
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"found method {method!r}, expected one of {', '.join(METHODS)}")
        self.name = method
        self._level = _LEVELS[method] if level is None else level
        self._dictionaries: dict[int, Any] = {}
        for content in dictionaries:
            dictionary = _dictionary(content)
            self._dictionaries[dictionary.dict_id()] = dictionary
        self._local = threading.local()  # zstd's contexts are for one thread each
        if method == "zstd":
            _ = self._compressor  # tells at once if it is not installed, or the level is wrong
        elif not -1 <= self._level <= 9:
            raise ValueError(f"found level {level}, expected one from -1 to 9")

    def transform(self, oid: bytes | None, data: bytes, facts: Facts = NO_FACTS) -> bytes:
        plain = is_plain(data)
        if plain and len(data) <= _SMALL_BYTES:
            return data
        if self.name == "zlib":
            stored = b".z" + zlib.compress(data, self._level)
        else:
            marker = b".d" if self._dictionaries else b".s"
            stored = marker + self._compressor.compress(data)
        return data if plain and len(stored) >= len(data) else stored

    def untransform(self, oid: bytes | None, tid: bytes | None, stored: bytes) -> bytes:
        if stored[:1] != b".":
            return stored
        marker = stored[:2]
        if marker == b".z":
            try:
                return zlib.decompress(memoryview(stored)[2:])
            except zlib.error as error:
                found = f"what should be a zlib stream: {error}"
                raise DamagedRecordError(oid, tid, found, _ADVICE) from None
        if marker in (b".s", b".d"):
            return self._from_zstd(oid, tid, stored)
        raise unknown_marker(oid, tid, stored)

    def bind(self, oid: bytes, tid: bytes, stored: bytes) -> bytes:
        """Return `stored`: compressed records are not bound to a place."""
        return stored

    def facts(self, stored: bytes) -> Facts:
        """Return no facts: compressed records carry none."""
        return NO_FACTS

    def _from_zstd(self, oid: bytes | None, tid: bytes | None, stored: bytes) -> bytes:
        frame = memoryview(stored)[2:]
        package = zstandard()
        try:
            wanted = package.get_frame_parameters(frame).dict_id
            if wanted and wanted not in self._dictionaries:
                raise UnknownDictionaryError(oid, tid, wanted, self._dictionaries)
            data: bytes = self._decompressor(wanted).decompress(frame)
        except (package.ZstdError, MemoryError) as error:
            found = f"what should be a zstd frame: {error}"
            raise DamagedRecordError(oid, tid, found, _ADVICE) from None
        return data

    @property
    def _compressor(self) -> Any:
        found = getattr(self._local, "compressor", None)
        if found is None:
            first = next(iter(self._dictionaries.values()), None)
            found = zstandard().ZstdCompressor(
                level=self._level, dict_data=first, write_checksum=True
            )
            self._local.compressor = found
        return found

    def _decompressor(self, dictionary_id: int) -> Any:
        known: dict[int, Any] | None = getattr(self._local, "decompressors", None)
        if known is None:
            known = self._local.decompressors = {}
        if dictionary_id not in known:
            dictionary = self._dictionaries.get(dictionary_id)
            known[dictionary_id] = zstandard().ZstdDecompressor(dict_data=dictionary)
        return known[dictionary_id]


def _dictionary(content: bytes) -> Any:
    package = zstandard()
    try:
        dictionary = package.ZstdCompressionDict(content, package.DICT_TYPE_FULLDICT)
    except package.ZstdError as error:
        raise ValueError(f"found what is no trained dictionary: {error}") from None
    if not dictionary.dict_id():
        raise ValueError("found a dictionary without an id, expected a trained one")
    return dictionary
