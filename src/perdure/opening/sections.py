"""The sections of a configuration file: each opens the storage or the database that it describes.

ZConfig reads the file and calls one of these with the values of a section;
`sections.xml` says which values there are. Nothing here imports ZConfig.

A section of another package has `open()`, and that is all that is asked of it.
"""

from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

from perdure.errors import Unsupported
from perdure.interfaces import Storage
from perdure.storages.demo import DemoStorage
from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.storages.readonly import ReadOnlyStorage

__all__ = [
    "BlobSection",
    "DatabaseSection",
    "DemoSection",
    "FileSection",
    "MemorySection",
    "imported",
    "open_section",
    "packer",
]


def open_section(section: Any, read_only: bool = False) -> Any:
    """Return the storage that a section describes; with `read_only`, one that only reads."""
    if isinstance(section, FileSection | DemoSection | BlobSection | MemorySection):
        return section.open(read_only)
    storage = section.open()
    return ReadOnlyStorage(storage) if read_only else storage


class FileSection:
    """``<filestorage>``."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.name: str | None = config.getSectionName()

    def open(self, read_only: bool = False, blob_dir: str | None = None) -> FileStorage:
        config = self.config
        return FileStorage(
            config.path,
            create=config.create and not read_only,
            read_only=read_only or config.read_only,
            quota=config.quota,
            pack_gc=config.pack_gc,
            pack_keep_old=config.pack_keep_old,
            packer=config.packer,
            blob_dir=blob_dir or config.blob_dir or None,
        )


class MemorySection:
    """``<mappingstorage>``."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.name: str | None = config.getSectionName()

    def open(self, read_only: bool = False) -> Storage:
        storage = MappingStorage(self.config.name)
        return ReadOnlyStorage(storage) if read_only else storage


class DemoSection:
    """``<demostorage>``: the base, if there is one, and the changes, if they are to stay."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.name: str | None = config.getSectionName()
        bases = [each for each in config.storages if each.name != "changes"]
        if len(bases) > 1:
            raise ValueError(f"a demostorage has one base, found {len(bases)}")

    def open(self, read_only: bool = False) -> DemoStorage:
        base = changes = None
        try:
            for section in self.config.storages:
                if section.name == "changes":
                    changes = open_section(section, read_only)
                else:
                    base = open_section(section, read_only)
            return DemoStorage(self.config.name, base=base, changes=changes)
        except BaseException:
            for opened in (base, changes):
                if opened is not None:
                    opened.close()
            raise


class BlobSection:
    """``<blobstorage>``: a file storage that gets its blob directory from around it."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.name: str | None = config.getSectionName()

    def open(self, read_only: bool = False) -> FileStorage:
        base = self.config.base
        if not isinstance(base, FileSection):
            raise Unsupported(
                "<blobstorage> takes a <filestorage>; other storages keep blobs by themselves, "
                "or not at all"
            )
        return base.open(read_only, self.config.blob_dir)


_OPTIONS: Final = (
    "cache_size",
    "cache_size_bytes",
    "historical_cache_size",
    "historical_cache_size_bytes",
    "historical_pool_size",
    "historical_timeout",
    "large_record_size",
    "pool_size",
    "pool_timeout",
)


class DatabaseSection:
    """``<zodb>``: a database. What it stands on is `storage`, a section; `options` are its own."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.name: str | None = config.getSectionName()

    @property
    def storage(self) -> Any:
        """The section of its storage."""
        return self.config.storage

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `perdure.DB`, of those that the section sets."""
        config = self.config
        options = {name: getattr(config, name) for name in _OPTIONS}
        options["xrefs"] = config.allow_implicit_cross_references
        options["class_factory"] = config.class_factory
        options["database_name"] = config.database_name
        return {name: value for name, value in options.items() if value is not None}


def imported(name: str) -> Any:
    """Return what a dotted name means; `ValueError` if it cannot be imported."""
    module, _, attribute = name.rpartition(".")
    try:
        return attrgetter(attribute)(import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name!r} cannot be imported: {error}") from error


def packer(name: str) -> Callable[..., Any]:
    """Return the function with a dotted name, or ``module:expression``, that packs a file."""
    module, colon, expression = name.partition(":")
    if not colon:
        found: Callable[..., Any] = imported(name)
        return found
    try:
        # Who writes the configuration of a program says what it runs.
        made: Callable[..., Any] = eval(expression, dict(vars(import_module(module))))  # noqa: S307
    except Exception as error:
        raise ValueError(f"{name!r} is no packer: {error!r}") from error
    return made
