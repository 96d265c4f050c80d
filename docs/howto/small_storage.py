"""A storage in about a hundred lines: revisions in a dictionary."""

from perdure.clock import time_of
from perdure.errors import POSKeyError, StorageClosedError
from perdure.ids import ZERO
from perdure.interfaces import Revision, Storage, declares, load_extension
from perdure.storages.gate import Gate
from perdure.storages.oids import OidSource
from perdure.storages.resolving import Resolver


@declares(Storage)
class SmallStorage:
    """Keeps every revision in memory; undo and iteration are left out."""

    def __init__(self, name="SmallStorage"):
        self._name = name
        self._revisions = {}  # oid -> [(tid, data, metadata)], oldest first
        self._last_tid = ZERO
        self._gate = Gate()
        self._oids = OidSource()
        self._resolver = Resolver(self.loadSerial)
        self._closed = False

    # What it is

    def close(self):
        self._closed = True
        self._gate.shut(self._closed_error)

    def _closed_error(self):
        return StorageClosedError(f"storage {self._name} is closed")

    def getName(self):
        return self._name

    def sortKey(self):
        return self._name

    def getSize(self):
        return sum(len(data) for known in self._revisions.values() for _, data, _ in known)

    def __len__(self):
        return len(self._revisions)

    def isReadOnly(self):
        return False

    def registerDB(self, wrapper):
        self._resolver.wrapper = wrapper

    # Reading

    def lastTransaction(self):
        return self._last_tid

    def _known(self, oid):
        if self._closed:
            raise self._closed_error()
        try:
            return self._revisions[oid]
        except KeyError:
            raise POSKeyError(oid) from None

    def loadBefore(self, oid, tid):
        following = None
        for found_tid, data, _ in reversed(self._known(oid)):
            if found_tid < tid:
                return Revision(data, found_tid, following)
            following = found_tid
        return None

    def loadSerial(self, oid, serial):
        for tid, data, _ in self._known(oid):
            if tid == serial:
                return data
        raise POSKeyError(oid)

    def history(self, oid, size=1):
        return [
            {
                **load_extension(metadata[2]),
                "time": time_of(tid),
                "user_name": metadata[0],
                "description": metadata[1],
                "tid": tid,
                "size": len(data),
            }
            for tid, data, metadata in self._known(oid)[::-1][:size]
        ]

    # Two-phase commit

    def new_oid(self):
        if self._closed:
            raise self._closed_error()
        return self._oids.next()

    def tpc_begin(self, transaction):
        metadata = transaction.user, transaction.description, transaction.extension_bytes
        self._gate.begin(transaction, {"metadata": metadata, "stores": {}, "writes": {}})

    def store(self, oid, serial, data, version, transaction):
        draft = self._gate.changes(transaction)
        self._oids.seen(oid)
        # A conflict shows early; others may still commit before the vote.
        self._merged(oid, serial, data)
        draft["stores"][oid] = serial, data

    def _merged(self, oid, serial, data):
        known = self._revisions.get(oid)
        committed = known[-1][0] if known else ZERO
        if not known or committed == serial:
            return data
        return self._resolver.resolve(oid, committed, serial, data)

    def tpc_vote(self, transaction):
        with self._gate.voting(transaction) as draft:  # from here to the end, nobody else commits
            for oid, (serial, data) in draft["stores"].items():
                draft["writes"][oid] = self._merged(oid, serial, data)
            draft["tid"] = self._gate.next_tid()
        return [oid for oid, data in draft["writes"].items() if data != draft["stores"][oid][1]]

    def tpc_finish(self, transaction, func=None):
        with self._gate.finishing(transaction) as draft:
            tid = draft["tid"]
            self._gate.passed(tid)  # the next tid will be later
            for oid, data in draft["writes"].items():
                revision = tid, data, draft["metadata"]
                self._revisions[oid] = [*self._revisions.get(oid, ()), revision]
            if func is not None:
                func(tid)
            self._last_tid = tid  # last: whoever sees it must find the records
        return tid

    def tpc_abort(self, transaction):
        with self._gate.aborting(transaction):
            pass

    # Packing

    def pack(self, pack_time, referencesf):
        with self._gate.exclusive():
            for oid, known in list(self._revisions.items()):
                old = [revision for revision in known if time_of(revision[0]) <= pack_time]
                self._revisions[oid] = known[max(len(old) - 1, 0) :]
