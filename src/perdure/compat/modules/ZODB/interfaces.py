"""`ZODB.interfaces`: the contracts as zope interfaces.

Those of storages are Perdure's own, derived from its protocols; the others are
written out here, and declared for the classes that keep them.
"""

from typing import Any

from persistent.interfaces import IPersistentDataManager
from transaction.interfaces import IDataManagerSavepoint, ISavepointDataManager, ISynchronizer
from zope.interface import Attribute, Interface, classImplements

from perdure.compat.names import go_by
from perdure.errors import BlobError, StorageStopIteration
from perdure.interfaces import INTERFACES, values
from perdure.interfaces import storage as contracts
from perdure.objects.blob import Blob
from perdure.objects.connection import Connection
from perdure.objects.database import Database
from perdure.objects.savepoint import Savepoint
from perdure.records import Broken
from perdure.storages.iterated import IteratedTransaction

__all__ = [
    "Attribute",
    "BlobError",
    "IBlob",
    "IBlobStorage",
    "IBlobStorageRestoreable",
    "IBroken",
    "IConnection",
    "IDatabase",
    "IExternalGC",
    "IMVCCAfterCompletionStorage",
    "IMVCCPrefetchStorage",
    "IMVCCStorage",
    "IMultiCommitStorage",
    "IPrefetchStorage",
    "IStorage",
    "IStorageCurrentRecordIteration",
    "IStorageDB",
    "IStorageIteration",
    "IStorageRecordInformation",
    "IStorageRestoreable",
    "IStorageTransactionInformation",
    "IStorageTransactionMetaData",
    "IStorageUndoable",
    "IStorageWrapper",
    "Interface",
    "ReadVerifyingStorage",
    "StorageStopIteration",
]

go_by(__name__, BlobError, StorageStopIteration)

IStorageWrapper: Any = INTERFACES[contracts.StorageWrapper]
IStorage: Any = INTERFACES[contracts.Storage]
IStorageTransactionMetaData = INTERFACES[values.HasMetaData]
IStorageTransactionInformation = INTERFACES[contracts.StoredTransaction]
IStorageIteration = INTERFACES[contracts.IterableStorage]
IStorageUndoable = INTERFACES[contracts.UndoableStorage]
IStorageRestoreable = INTERFACES[contracts.RestoreableStorage]
IStorageCurrentRecordIteration = INTERFACES[contracts.RecordIterableStorage]
IExternalGC = INTERFACES[contracts.ExternalGCStorage]
ReadVerifyingStorage = INTERFACES[contracts.ReadVerifyingStorage]
IMVCCStorage: Any = INTERFACES[contracts.MVCCStorage]
IPrefetchStorage = INTERFACES[contracts.PrefetchStorage]
IBlobStorage = INTERFACES[contracts.BlobStorage]
IBlobStorageRestoreable = INTERFACES[contracts.BlobRestoreableStorage]

# zope reads a method's signature off a function without `self`.
# mypy: disable-error-code="misc,no-untyped-def,override"


class IStorageDB(IStorageWrapper):
    """An older name of `IStorageWrapper`, which extends nothing."""


class IMVCCPrefetchStorage(IMVCCStorage):
    """An MVCC storage to which records can be announced before they are loaded."""

    def prefetch(oids):
        """Start loading these records."""


class IMVCCAfterCompletionStorage(IMVCCStorage):
    """An MVCC storage that is told when a transaction has ended."""

    def afterCompletion():
        """Whoever commits next has not begun: nothing has to be held."""


class IMultiCommitStorage(IStorage):
    """A storage where several transactions can be committed at once.

    Here every storage may be one: records get their tid from `tpc_finish`.
    """

    def store(oid, serial, data, version, transaction):
        """Write a record; nothing is returned."""

    def tpc_vote(transaction):
        """Return the oids whose conflicts were resolved, or None."""

    def tpc_finish(transaction, func=lambda tid: None):
        """Return the tid."""


class IStorageRecordInformation(Interface):
    """One record as an iteration yields it."""

    oid = Attribute("the oid, 8 bytes")
    tid = Attribute("the tid of the transaction, 8 bytes")
    data = Attribute("the record; None where the object's creation was undone")
    data_txn = Attribute("the tid that wrote the same bytes before, or None")


class IBlob(Interface):
    """Data in a file, as a persistent object."""

    def open(mode):
        """Return the data as an open file."""

    def committed():
        """Return the path of the committed data."""

    def consumeFile(filename):
        """Take over a file as the data."""


class IBroken(Interface):
    """An object whose class is missing."""

    __Broken_newargs__ = Attribute("what was passed to `__new__`")
    __Broken_initargs__ = Attribute("what was passed to `__init__`, or None")
    __Broken_state__ = Attribute("what was passed to `__setstate__`")

    def __setattr__(name, value):
        """Refuse: it cannot be changed."""


class IConnection(Interface):
    """One consistent view of a database."""

    connections = Attribute("the connections of this multi-database, by database name")

    def add(ob):
        """Give a new object an oid, to be stored with the transaction."""

    def get(oid):
        """Return the object with this oid."""

    def cacheMinimize():
        """Make ghosts of all objects that have not changed."""

    def cacheGC():
        """Shrink the cache to its size."""

    def onCloseCallback(f):
        """Call `f` when the connection is closed next."""

    def close():
        """Give the connection back."""

    def db():
        """Return the database."""

    def isReadOnly():
        """Return whether a commit of changes would be refused."""

    def root():
        """Return the root mapping."""

    def get_connection(database_name):
        """Return the connection to another database of the multi-database."""

    def sync():
        """Abort the transaction and see what others have committed."""

    def getDebugInfo():
        """Return what `setDebugInfo` has added."""

    def setDebugInfo(*items):
        """Add to what can be said about this connection."""

    def getTransferCounts(clear=False):
        """Return how many objects were loaded and stored."""

    def readCurrent(obj):
        """Have the commit fail unless this object is current then."""


class IDatabase(IStorageWrapper):
    """A database: a storage, and the connections to it."""

    databases = Attribute("the databases of this multi-database, by name")
    storage = Attribute("the storage")

    def close():
        """Close every connection, then the storage."""

    def open(transaction_manager=None, serial=""):
        """Return a connection."""

    def pack(t=None, days=0):
        """Drop what is not needed any more."""

    def undoLog(first, last, filter=None):
        """Describe the transactions that can be undone."""

    def undoInfo(first=0, last=-20, specification=None):
        """Describe those whose description has all items of `specification`."""

    def undo(id, txn=None):
        """Undo a transaction when `txn` commits."""

    def history(oid, size=1):
        """Return the newest revisions of an object."""


classImplements(
    Connection, IConnection, ISavepointDataManager, IPersistentDataManager, ISynchronizer
)
classImplements(Database, IDatabase)
classImplements(Savepoint, IDataManagerSavepoint)
classImplements(Blob, IBlob)
classImplements(Broken, IBroken)
classImplements(values.TransactionMetaData, IStorageTransactionMetaData)
classImplements(values.StoredRecord, IStorageRecordInformation)
classImplements(IteratedTransaction, IStorageTransactionInformation)
