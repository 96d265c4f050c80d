"""What Perdure does not have of ZODB's public names, or has in another shape, and why.

This is the one list: the test of the aliases allows these differences and no
others, the migration guide prints them, and an import of what is not there
quotes them.
"""

from typing import Final, NamedTuple

__all__ = ["DIFFERENCES", "Difference", "advice_on"]


class Difference(NamedTuple):
    """One deliberate difference, in one or several names.

    `names` are ZODB's dotted names; one that ends with ".*" stands for itself and for
    all names below it. `perdure` says what is there instead, `reason` why.
    """

    names: tuple[str, ...]
    perdure: str
    reason: str

    def covers(self, name: str) -> bool:
        """Return whether this is about `name`."""
        return any(
            name == each.removesuffix(".*") or (each.endswith(".*") and name.startswith(each[:-1]))
            for each in self.names
        )


def _in(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"ZODB.{module}.{name}" for name in names)


DIFFERENCES: Final[tuple[Difference, ...]] = (
    # Arguments
    Difference(
        (
            *_in("Connection", "Connection.beforeCompletion", "TransactionMetaData.set_data"),
            *_in("DB", "TransactionalUndo.__init__"),
            *_in("DemoStorage.DemoStorage", "iterator", "load"),
            *_in("FileStorage.FileStorage.FileStorage", "deleteObject", "store", "tpc_finish"),
            *_in("MappingStorage.MappingStorage", "iterator", "load", "pack", "registerDB"),
            *_in("POSException", "DanglingReferenceError.__init__", "MultipleUndoErrors.__init__"),
            *_in("broken", "rebuild", "Broken.__new__", "PersistentBroken.__new__"),
            *_in("persistentclass", "PersistentMetaClass.__new__"),
            *_in("utils", "U64", "p64", "u64"),
        ),
        "the same arguments in the same order, under other names",
        "callers pass them by position; one name for one thing in every storage",
    ),
    Difference(
        (
            *_in("DemoStorage.DemoStorage", "tpc_begin", "tpc_finish", "tpc_vote"),
            *_in("MappingStorage.MappingStorage", "tpc_finish"),
            *_in("interfaces", "IStorage.tpc_finish"),
            *_in("DB", "DB.undoInfo", "DB.undoLog"),
            *_in("POSException", "ReadConflictError.__init__"),
            *_in("blob", "BlobStorage.tpc_abort", "BlobStorage.tpc_finish", "log"),
            *_in("broken", "PersistentBroken.__reduce__"),
            *_in("mvccadapter.HistoricalStorageAdapter", "new_oid", "store"),
        ),
        "every argument by its name, None where a function may be left out",
        "`*args` and `**kw` hide what a call takes, and a wrong argument shows up elsewhere",
    ),
    Difference(
        (
            *_in("DB", "DB.__init__"),
            *_in("config", "FileStorage.open"),
            *_in("FileStorage.FileStorage.FileStorage", "__init__", "pack"),
            *_in("MappingStorage.MappingStorage", "history", "tpc_begin"),
            *_in("POSException", "ConflictError.__init__"),
            *_in("interfaces", "IMVCCStorage.load", "IStorageRestoreable.tpc_begin"),
            *_in("interfaces", "IStorageUndoable.undoLog"),
        ),
        "ZODB's arguments, and more that may be left out",
        "options that ZODB does not have, such as `classes`, `progress` and `cancel`",
    ),
    # Base classes
    Difference(
        (
            *_in("FileStorage.FileStorage", "FileStorage.__bases__", "FileIterator.__bases__"),
            *_in("FileStorage.FileStorage", "TransactionRecord.__bases__"),
            *_in("FileStorage.FileStorage", "CorruptedTransactionError.__bases__"),
            *_in("DemoStorage", "DemoStorage.__bases__"),
            *_in("Connection", "Connection.__bases__"),
            *_in("mvccadapter", "HistoricalStorageAdapter.__bases__"),
        ),
        "classes that have their parts and do not inherit them; test what a storage can do by "
        "its interfaces (`IStorageUndoable.providedBy(storage)`), not with `isinstance`. "
        "`CorruptedFileStorageError` is `perdure.errors.CorruptDataError`",
        "composition: each part has one room. `BaseStorage` and the mix-ins are there for the "
        "storages of others",
    ),
    Difference(
        _in("DemoStorage", "DemoStorage.implements"),
        "the instance provides `IStorageIteration` if base and changes do",
        "a layer over a storage that cannot be iterated cannot be either",
    ),
    # Parts that are built differently
    Difference(
        (
            *_in("Connection", "Savepoint.*", "TmpStore.*"),
            *_in("Connection", "global_reset_counter", "large_object_message"),
        ),
        "`connection.savepoint()`; `TmpStore` leads to `perdure.objects.savepoint.SavepointStore`, "
        "with a warning",
        "savepoints note what they replaced instead of copying their index each time",
    ),
    Difference(
        (
            *_in("DB", "AbstractConnectionPool.*", "ConnectionPool.*", "KeyedConnectionPool.*"),
            *_in("DB", "ContextManager.*", "resource_counter", "DB.next", "DB.previous"),
        ),
        "`DB.pool`, a `perdure.objects.pool.ConnectionPool`; `with db.transaction()`",
        "one pool, keyed by the moment that a connection shows",
    ),
    Difference(
        _in("DB", "TransactionalUndo.close"),
        "`release` of its snapshot, at the end of the transaction",
        "nobody is to close it by hand",
    ),
    Difference(
        _in("ActivityMonitor.ActivityMonitor", "log", "trim", "trim_lock"),
        "`closedConnection`, `getActivityAnalysis` and the length of the history",
        "how the figures are kept is its own business",
    ),
    Difference(
        (
            *_in("mvccadapter", "Base.*", "MVCCAdapter.*", "MVCCAdapterInstance.*", "Lock"),
            *_in("mvccadapter", "UndoAdapterInstance.*", "read_only_writer"),
        ),
        "`perdure.mvcc.Snapshots` and `new_instance`; `MVCCAdapter` leads there, with a warning",
        "snapshots forward nothing that they do not name, and invalidations are one journal",
    ),
    Difference(
        (
            *_in("serialize", "ObjectReader.loaders", "ObjectReader.load_multi_oid"),
            *_in("serialize", "ObjectReader.load_multi_persistent", "ObjectReader.load_oid"),
            *_in("serialize", "ObjectReader.load_persistent"),
            *_in("serialize", "ObjectReader.load_persistent_weakref", "oid_klass_loaders"),
        ),
        "`ObjectReader.getState` and `getGhost`; for references, `get_refs` and `referencesf`",
        "the reader of records makes references in one place, for the C unpickler",
    ),
    Difference(
        _in("ExportImport", "Ghost.*", "persistent_id"),
        "`Connection.exportFile` and `importFile`",
        "an import rewrites the references in records without making objects",
    ),
    Difference(
        _in("DemoStorage", "cleanup_temporary_blobdir"),
        "`close` of the storage",
        "whoever makes a temporary directory removes it",
    ),
    Difference(
        (
            *_in("MappingStorage", "DataRecord.*", "TransactionRecord.*"),
            *_in("MappingStorage.MappingStorage", "not_in_transaction", "opened"),
        ),
        "`iterator`, which yields the same kind of transactions as every other storage",
        "a storage in memory keeps its history differently, with undo and blobs",
    ),
    # The data file
    Difference(
        (
            *_in("FileStorage.FileStorage", "FilePool.*", "FileStoragePacker", "panic"),
            *_in("FileStorage.FileStorage", "TransactionRecord.__init__"),
            *_in("FileStorage.FileStorage", "TransactionRecordIterator.*", "UndoSearch.*"),
            *_in("FileStorage.FileStorage", "read_index", "recover", "search_back"),
            *_in("FileStorage.FileStorage", "shift_transactions_forward"),
            *_in("FileStorage.fspack", "FileStoragePacker.*", "GC.*", "PackCopier.*"),
            *_in("FileStorage.fsdump", "Dumper.*"),
        ),
        "`FileStorage.pack`, `FileStorage.iterator`, `FileIterator` and `fsdump`; "
        "`perdure recover` for a damaged file",
        "the file is read by position, without a pool, and packed while commits go on",
    ),
    Difference(
        _in("FileStorage.FileStorage", "FileStorage.packer"),
        "the argument `packer=`",
        "without one, the storage packs by itself",
    ),
    Difference(
        _in("FileStorage.FileStorage", "FileStorage.answer_to_the_ultimate_question"),
        "nothing",
        "it is a joke",
    ),
    Difference(
        (
            *_in("fsrecover", "copy", "error", "iprogress", "progress", "read_txn_header"),
            *_in("fsrecover", "scan", "truncate"),
        ),
        "`ZODB.fsrecover.recover` and `main`, or `perdure recover`",
        "recovering uses the checksums, and says what was lost and what is doubtful",
    ),
    # Scripts
    Difference(
        _in("scripts", "repozo.*"),
        "`main` with repozo's options, without -V; or `perdure backup` and `perdure restore`",
        "it writes Perdure's own backups, with checksums and blobs; repozo's own can be restored",
    ),
    Difference(
        _in("scripts", "fsrefs.*", "fstest.*"),
        "`main`; or `perdure check`",
        "one check for structure, pointers, checksums and references",
    ),
    Difference(
        _in("scripts", "analyze.*", "space.*", "netspace.*", "fsstats.*"),
        "`main` of `analyze` and `space`; or `perdure du` and `perdure info`",
        "one census, which imports no class",
    ),
    Difference(
        _in("scripts", "checkbtrees.*"),
        "`BTrees.check.check` for one tree",
        "it loads every object of the database",
    ),
    Difference(
        _in("scripts", "migrateblobs.*"),
        "`perdure copy` into a storage with the other layout",
        "a copy can be stopped and resumed, and leaves the original alone",
    ),
    Difference(
        _in("scripts", "zodbload.*"),
        "`benchmarks/` in the repository",
        "a benchmark of mail folders, not a tool",
    ),
    Difference(
        tuple(
            f"console script {name}" for name in ("fsdump", "fsoids", "fsrefs", "fstail", "repozo")
        ),
        "`perdure log`, `show`, `check`, `backup` and `restore`, or `python -m ZODB.scripts.…`",
        "two distributions must not install commands of the same name",
    ),
    Difference(
        tuple(f"zodburi {name}" for name in ("zeo", "sqlite", "postgres", "mysql", "oracle")),
        "`zodburi.resolve_uri`, which runs on Perdure; `perdure.open` takes the other schemes, "
        "with zodburi's options",
        "their packages bring the resolvers",
    ),
    Difference(
        ("logger ZODB.*",),
        "loggers below `perdure`, and `ZODB.…` only for what is there for ZODB's names",
        "a program that filters by name has to name the new ones",
    ),
    Difference(
        ("ZODB.tests.*",),
        "`perdure.testing`: a contract suite for storages and fixtures for applications",
        "ZODB's own test mix-ins are not Perdure's to ship",
    ),
)
"""Every deliberate difference from ZODB 6.4."""


def advice_on(name: str) -> str:
    """Return what to use instead of a name of ZODB that Perdure does not have."""
    for difference in DIFFERENCES:
        if difference.covers(name):
            return f"use {difference.perdure} ({difference.reason})"
    return "perdure.compat.DIFFERENCES and the migration guide list what is not the same"
