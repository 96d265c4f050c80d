"""`ZODB.config`: databases and storages as a configuration file describes them.

ZConfig reads the file and makes a factory of each section; `open` makes what it
describes. It takes the extra `zconfig`.
"""

from io import StringIO
from pathlib import Path
from typing import Any, Final, NoReturn

from perdure.errors import Unsupported
from perdure.opening import DB
from perdure.opening.sections import (
    DatabaseSection,
    FileSection,
    imported,
    open_section,
    packer,
)
from perdure.storages import demo, file, memory

try:
    import ZConfig
except ImportError as error:
    raise ImportError(
        "reading a configuration takes ZConfig: pip install 'perdure[zconfig]'", name="ZConfig"
    ) from error

__all__ = [
    "BDBFullStorage",
    "BDBMinimalStorage",
    "BDBStorage",
    "BaseConfig",
    "BlobStorage",
    "DemoStorage",
    "FileStorage",
    "MappingStorage",
    "StringIO",
    "ZEOClient",
    "ZODBDatabase",
    "databaseFromConfig",
    "databaseFromFile",
    "databaseFromString",
    "databaseFromURL",
    "db_schema_path",
    "getDbSchema",
    "getStorageSchema",
    "importable_name",
    "s_schema_path",
    "storageFromConfig",
    "storageFromFile",
    "storageFromString",
    "storageFromURL",
]

_HERE: Final = Path(__file__).parent
db_schema_path: Final = str(_HERE / "config.xml")
s_schema_path: Final = str(_HERE / "storage.xml")

_schemas: dict[str, Any] = {}


def _schema(path: str) -> Any:
    # Once: loading the sections again would define them twice for ZConfig.
    if path not in _schemas:
        _schemas[path] = ZConfig.loadSchema(path)
    return _schemas[path]


def getDbSchema() -> Any:
    """Return the schema of a file that describes databases."""
    return _schema(db_schema_path)


def getStorageSchema() -> Any:
    """Return the schema of a file that describes a storage."""
    return _schema(s_schema_path)


def importable_name(name: str) -> Any:
    """Return what a dotted name means; `ValueError` if it cannot be imported."""
    return imported(name)


def databaseFromString(s: str) -> DB:
    """Return the first of the databases that the text describes; see `databaseFromConfig`."""
    return databaseFromFile(StringIO(s))


def databaseFromFile(f: Any) -> DB:
    """The same for an open file."""
    config, _handlers = ZConfig.loadConfigFile(getDbSchema(), f)
    return databaseFromConfig(config.database)


def databaseFromURL(url: str) -> DB:
    """The same for a path or a URL."""
    config, _handlers = ZConfig.loadConfig(getDbSchema(), url)
    return databaseFromConfig(config.database)


def databaseFromConfig(database_factories: Any) -> DB:
    """Return the first of these databases; all of them are one multi-database."""
    databases: dict[str, Any] = {}
    opened: list[DB] = []
    try:
        for factory in database_factories:
            opened.append(factory.open(databases))
    except BaseException:
        for database in opened:
            database.close()
        raise
    return opened[0]


def storageFromString(s: str) -> Any:
    """Return the storage that the text describes."""
    return storageFromFile(StringIO(s))


def storageFromFile(f: Any) -> Any:
    """Return the storage that an open file describes."""
    config, _handlers = ZConfig.loadConfigFile(getStorageSchema(), f)
    return storageFromConfig(config.storage)


def storageFromURL(url: str) -> Any:
    """Return the storage that the file at a path or a URL describes."""
    config, _handlers = ZConfig.loadConfig(getStorageSchema(), url)
    return storageFromConfig(config.storage)


def storageFromConfig(section: Any) -> Any:
    """Return the storage that a section describes."""
    return section.open()


# As in ZODB: the factory of a database takes other arguments than that of a storage.
# mypy: disable-error-code="override"


class BaseConfig:
    """A section of a configuration: `config` are its values, `name` is its own or None."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.name = config.getSectionName()

    def open(self, database_name: str = "unnamed", databases: Any = None) -> Any:
        """Return what the section describes; what it takes differs from section to section."""
        raise NotImplementedError


class ZODBDatabase(BaseConfig, DatabaseSection):
    """`<zodb>`: a database."""

    def open(self, databases: dict[str, Any] | None = None) -> DB:
        options = {**self.options, "database_name": self.config.database_name or self.name or ""}
        storage = open_section(self.storage)
        try:
            return DB(storage, databases=databases, **options)
        except BaseException:
            storage.close()
            raise


class MappingStorage(BaseConfig):
    """`<mappingstorage>`: a storage in memory."""

    def open(self) -> memory.MappingStorage:
        return memory.MappingStorage(self.config.name)


class DemoStorage(BaseConfig):
    """`<demostorage>`: changes over a base, of which the section named `changes` is the first."""

    def open(self) -> demo.DemoStorage:
        base = changes = None
        for factory in self.config.factories:
            if factory.name == "changes":
                changes = factory.open()
            elif base is None:
                base = factory.open()
            else:
                raise ValueError("Too many base storages defined!")
        return demo.DemoStorage(self.config.name, base=base, changes=changes)


_OF_FILES: Final[dict[str, Any]] = {
    "blob_dir": None,
    "create": False,
    "pack_gc": True,
    "pack_keep_old": True,
    "packer": None,
    "quota": None,
    "read_only": False,
}


class FileStorage(BaseConfig, FileSection):
    """`<filestorage>`: a storage in a file."""

    def open(self, read_only: bool = False, blob_dir: str | None = None) -> file.FileStorage:
        section = self.config
        # By default what the schema says: servers hand over sections that only have a path.
        given = {name: getattr(section, name, default) for name, default in _OF_FILES.items()}
        read_only = bool(read_only or given["read_only"])
        named = given["packer"]
        return file.FileStorage(
            section.path,
            create=bool(given["create"]) and not read_only,
            read_only=read_only,
            quota=given["quota"],
            packer=None if named is None else packer(named),
            pack_gc=given["pack_gc"],
            pack_keep_old=given["pack_keep_old"],
            blob_dir=blob_dir or given["blob_dir"],
        )


class BlobStorage(BaseConfig):
    """`<blobstorage>`: blobs for the storage in it."""

    def open(self) -> Any:
        from ZODB.blob import BlobStorage as Blobs

        return Blobs(self.config.blob_dir, self.config.base.open())


class ZEOClient(BaseConfig):
    """`<zeoclient>`: a storage on a server, by the package ZEO."""

    def open(self) -> Any:
        from ZEO.ClientStorage import ClientStorage

        section = self.config
        options = {
            name: value
            for name, value in (
                ("blob_cache_size", section.blob_cache_size),
                ("blob_cache_size_check", section.blob_cache_size_check),
                ("client_label", section.client_label),
            )
            if value is not None
        }
        return ClientStorage(
            [server.address for server in section.server],
            blob_dir=section.blob_dir,
            shared_blob_dir=section.shared_blob_dir,
            storage=section.storage,
            cache_size=section.cache_size,
            name=section.name,
            client=section.client,
            var=section.var,
            min_disconnect_poll=section.min_disconnect_poll,
            max_disconnect_poll=section.max_disconnect_poll,
            wait=section.wait,
            read_only=section.read_only,
            read_only_fallback=section.read_only_fallback,
            drop_cache_rather_verify=section.drop_cache_rather_verify,
            username=section.username,
            password=section.password,
            realm=section.realm,
            **options,
        )


class BDBStorage(BaseConfig):
    """`<fullstorage>` and `<minimalstorage>`, which are no more."""

    def open(self) -> NoReturn:
        self.get_storageclass()

    def get_storageclass(self) -> NoReturn:
        """Say that there is none."""
        raise Unsupported("BDBStorage is no more, in ZODB as in Perdure; use <filestorage>")


class BDBFullStorage(BDBStorage):
    """`<fullstorage>`."""


class BDBMinimalStorage(BDBStorage):
    """`<minimalstorage>`."""
