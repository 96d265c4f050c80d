"""One run of a scenario: a storage at work, every step noted for whoever looks at a crash."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crash.expectation import (
    NO_PACKS,
    Finishing,
    Gone,
    Pack,
    Packing,
    Returned,
    Seen,
    expectation,
)
from perdure.clock import tid_at, time_of
from perdure.errors import POSError, POSKeyError, StorageClosedError, StorageError
from perdure.fileops import FileOperations
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.reserve import RESERVE_BYTES
from perdure.testing.faults import Killed, Recording
from perdure.testing.faults.operations import Mark
from samples.file_operations import Unsynced

__all__ = ["NAME", "Script", "no_references", "oid", "shown"]

NAME = "data.fs"
TIMEOUT_S = 20

_START_S = 1_600_000_000.0  # long ago: tids are given, so that every run makes the same bytes
_STEP_S = 60.0
_CHECKPOINT = "checkpoint of"
"""How the names of threads begin that save an index."""

oid = p64


def no_references(record: bytes) -> list[bytes]:
    return []


def shown(storage: Any) -> list[Seen]:
    """Return the transactions that a storage shows."""
    return [
        Seen(
            found.tid,
            found.description,
            found.extension_bytes,
            {record.oid: record.data for record in found},
        )
        for found in storage.iterator()
    ]


class Script:
    """What a scenario does; see the methods.

    The storage works in `recording.root` through `operations`, by default the
    recording itself. `tolerant` scripts go on after an error, and keep it in
    `errors`; the others raise it. With `lasting`, what fails goes on failing.
    `packs`, `history`, `marks` and `begun` are those of the run before on the same files.
    `reserve_bytes` is the storage's when it is opened.
    """

    def __init__(
        self,
        recording: Recording,
        operations: FileOperations | None = None,
        tolerant: bool = False,
        lasting: bool = False,
        packs: Mapping[int, Pack] = NO_PACKS,
        history: Iterable[Seen] = (),
        marks: Iterable[object] = (),
        begun: int = 0,
    ) -> None:
        self.recording = recording
        self.lasting = lasting
        self.errors: list[POSError] = []
        self.history: list[Seen] = list(history)
        self.packs: dict[int, Pack] = dict(packs)
        self.storage: FileStorage | None = None
        self._operations = operations or recording
        self._tolerant = tolerant
        self.earlier_marks = tuple(marks)
        self.begun = begun
        self.reserve_bytes = RESERVE_BYTES
        self._packed = 0
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        return self.recording.root / NAME

    @property
    def marks(self) -> tuple[object, ...]:
        """What was marked so far, in this run and those before."""
        log = self.recording.log
        return (*self.earlier_marks, *(each.value for each in log if isinstance(each, Mark)))

    @property
    def size(self) -> int:
        """How large the file is."""
        return self.path.stat().st_size if self.path.exists() else 0

    # Steps

    def open(self, **options: Any) -> None:
        """Open the storage; what was in flight is decided then, one way or the other."""
        if options.get("create"):
            # Like a pack that leaves nothing.
            pack = self._next_pack()
            self.packs[pack] = Pack((), frozenset(range(len(self.history))))
            self.recording.mark(Packing(pack))
        with self._allowed():
            self.storage = FileStorage(
                self.path,
                operations=self._operations,
                reserve_bytes=self.reserve_bytes,
                **options,
            )
            expected = expectation(self.marks)
            there = {seen.tid for seen in shown(self.storage)}
            for number in sorted(expected.in_flight):
                found = self.history[number].tid in there
                self.recording.mark(Returned(number) if found else Gone(number))

    def close(self) -> None:
        storage, self.storage = self.storage, None
        if storage is not None:
            with self._allowed():
                storage.close()

    def drop(self) -> None:
        """Leave the storage as a process does that dies: the system lets go of the lock."""
        storage, self.storage = self.storage, None
        if storage is not None:
            storage._release_lock()

    def commit(
        self,
        records: Mapping[bytes, bytes | None],
        note: str = "",
        extension: dict[str, Any] | None = None,
    ) -> None:
        """Commit records; None deletes an object."""
        self._run(self._metadata(note, extension), dict(records), finish=True)

    def abort(self, records: Mapping[bytes, bytes | None], note: str = "") -> None:
        """Vote for records, and abort."""
        self._run(self._metadata(note, None), dict(records), finish=False)

    def undo(self, number: int) -> None:
        """Undo a transaction by its number."""
        expected = expectation(self.marks)
        if number >= len(self.history):
            return
        before = [self.history[n] for n in sorted(expected.returned) if n < number]
        records: dict[bytes, bytes | None] = dict.fromkeys(self.history[number].records)
        for seen in before:
            records.update({o: d for o, d in seen.records.items() if o in records})
        self._run(self._metadata("undo", None), records, finish=True, undone=number)

    def copy(self, other: Any) -> None:
        """Take over the transactions of another storage, with their tids."""
        if self.storage is None:
            return
        with self._allowed():
            for found in other.iterator():
                metadata = TransactionMetaData(found.user, found.description, found.extension_bytes)
                records = list(found)
                storage = self.storage
                storage.tpc_begin(metadata, found.tid, found.status)
                try:
                    for record in records:
                        storage.restore(
                            record.oid, record.tid, record.data, "", record.data_txn, metadata
                        )
                    storage.tpc_vote(metadata)
                    by_oid = {record.oid: record.data for record in records}
                    self._finish(metadata, found.tid, by_oid)
                except BaseException:
                    storage.tpc_abort(metadata)
                    raise

    def pack(
        self,
        number: int,
        gc: bool = False,
        meanwhile: Callable[[], object] | None = None,
        swapped: Callable[[], object] | None = None,
    ) -> None:
        """Pack away what was superseded by the transaction with this number.

        `meanwhile` is called once, while the pack copies; `swapped` when the packed file
        is in place and its index is about to be saved.
        """
        if self.storage is None or number >= len(self.history):
            return
        todo = [] if meanwhile is None else [meanwhile]
        calls: list[str] = []
        earlier = self.recording.before

        def before(name: str) -> None:
            if earlier is not None:
                earlier(name)
            if name == "open" and swapped is not None and "rename" in calls:
                calls.clear()
                swapped()
            else:
                calls.append(name)

        def progress(done: int, total: int) -> None:
            if todo:
                todo.pop()()

        stop = self.history[number].tid
        pack = self._next_pack()
        self.packs[pack] = self._packed_copy(stop, gc)
        self.recording.mark(Packing(pack))
        self.recording.before = before
        try:
            with self._allowed():
                self.storage.pack(time_of(stop), no_references, gc=gc, progress=progress)
        finally:
            self.recording.before = earlier

    def checkpoint_after(self, commits: Callable[[], object]) -> None:
        """Do `commits`, and only then what the first of them leaves to another thread."""
        returned = threading.Event()
        earlier = self.recording.before

        def before(name: str) -> None:
            if earlier is not None:
                earlier(name)
            if threading.current_thread().name.startswith(_CHECKPOINT):
                returned.wait(TIMEOUT_S)

        self.recording.before = before
        try:
            commits()
        finally:
            returned.set()
            for thread in threading.enumerate():
                if thread.name.startswith(_CHECKPOINT):
                    thread.join(TIMEOUT_S)
            self.recording.before = earlier

    def group(self, *groups: Mapping[bytes, bytes], note: str = "") -> None:
        """Commit the first while the others come after it: they share the next sync.

        The first thread stays in its sync until all others have written and wait.
        """
        if self.storage is None:
            return
        leader = threading.current_thread()
        voted, acknowledged = threading.Event(), threading.Event()
        earlier = self.recording.before
        threads: list[threading.Thread] = []

        def before(name: str) -> None:
            if earlier is not None:
                earlier(name)
            if name != "sync" or not voted.is_set():
                return
            if threading.current_thread() is not leader:
                acknowledged.wait(TIMEOUT_S)
            elif not threads:
                for records in groups[1:]:
                    if not self._start(records, note, threads):
                        return

        self.recording.before = before
        try:
            self._run(self._metadata(note, None), dict(groups[0]), finish=True, voted=voted)
        finally:
            acknowledged.set()
            for thread in threads:
                thread.join(TIMEOUT_S)
            self.recording.before = earlier
        if self.recording.dead:
            raise Killed("killed in another thread")
        self._prove_after_errors()

    # How they are done

    def _start(
        self, records: Mapping[bytes, bytes], note: str, threads: list[threading.Thread]
    ) -> bool:
        """Start a thread that commits; return whether it waits for a sync, and did not fail."""
        metadata = self._metadata(note, None)
        voted = threading.Event()

        def work() -> None:
            with suppress(Killed):
                try:
                    self._run(metadata, dict(records), finish=True, voted=voted)
                finally:
                    voted.set()

        # Whoever votes waits for the commit lock, which it holds until it waits for a sync;
        # this one fails then, since tids grow, and has written nothing.
        storage, probe = self.storage, TransactionMetaData()
        assert storage is not None
        with suppress(POSError, Killed):
            storage.tpc_begin(probe, metadata.tid)
        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread)
        assert voted.wait(TIMEOUT_S)
        finishing = self.history[-1].tid == metadata.tid
        if finishing:
            with suppress(POSError, Killed):
                storage.tpc_vote(probe)
        with suppress(POSError, Killed):
            storage.tpc_abort(probe)
        return finishing

    def _packed_copy(self, stop: bytes, gc: bool) -> Pack:
        """Return what a pack makes that nothing happens to."""
        covers = frozenset(n for n, seen in enumerate(self.history) if seen.tid <= stop)
        with tempfile.TemporaryDirectory(dir=self.recording.root.parent) as directory:
            path = Path(shutil.copy(self.path, directory))
            storage = FileStorage(path, operations=Unsynced())
            with suppress(StorageError):  # without a root there is nothing to collect from
                storage.pack(time_of(stop), no_references, gc=gc)
            result = tuple(seen for seen in shown(storage) if seen.tid <= stop)
            storage.close()
        return Pack(result, covers)

    def _next_pack(self) -> int:
        self._packed += 1
        return self._packed

    def _metadata(self, note: str, extension: dict[str, Any] | None) -> "_Metadata":
        with self._lock:
            self.begun += 1
            tid = tid_at(_START_S + _STEP_S * self.begun)
            return _Metadata(tid, f"{self.begun} {note}", extension)

    def _run(
        self,
        metadata: "_Metadata",
        records: dict[bytes, bytes | None],
        finish: bool,
        undone: int | None = None,
        voted: threading.Event | None = None,
    ) -> None:
        storage = self.storage
        if storage is None:
            return
        with self._allowed():
            storage.tpc_begin(metadata, metadata.tid)
            try:
                if undone is not None:
                    storage.undo(self.history[undone].tid, metadata)
                else:
                    for key, data in records.items():
                        self._store(storage, metadata, key, data)
                storage.tpc_vote(metadata)
                if finish:
                    self._finish(metadata, metadata.tid, records, voted)
                else:
                    storage.tpc_abort(metadata)
            except BaseException:
                with suppress(Killed):
                    storage.tpc_abort(metadata)
                raise

    def _store(
        self, storage: FileStorage, metadata: "_Metadata", key: bytes, data: bytes | None
    ) -> None:
        try:
            serial = storage.getTid(key)
        except POSKeyError:
            serial = ZERO
        if data is None:
            storage.deleteObject(key, serial, metadata)
        else:
            storage.store(key, serial, data, "", metadata)

    def _finish(
        self,
        metadata: TransactionMetaData,
        tid: bytes,
        records: dict[bytes, bytes | None],
        voted: threading.Event | None = None,
    ) -> None:
        storage = self.storage
        assert storage is not None
        with self._lock:
            number = len(self.history)
            seen = Seen(tid, metadata.description, metadata.extension_bytes, records)
            self.history.append(seen)
            self.recording.mark(Finishing(number))
        if voted is not None:
            voted.set()
        storage.tpc_finish(metadata)
        self.recording.mark(Returned(number))

    def _allowed(self) -> "_Allowed":
        return _Allowed(self, self._tolerant)

    def failed(self, error: POSError) -> None:
        """Keep an error; then the storage must work on, or refuse everything."""
        self.errors.append(error)
        if threading.current_thread() is threading.main_thread():
            self._prove_after_errors()

    def _prove_after_errors(self) -> None:
        storage, error = self.storage, self.errors[-1] if self.errors else None
        if storage is None or error is None or self.lasting:
            return
        try:
            storage.lastTransaction()
        except StorageClosedError:
            for refused in (
                lambda: storage.tpc_begin(TransactionMetaData()),
                lambda: storage.load(oid(0)),
                lambda: next(storage.iterator()),
                lambda: storage.pack(0.0, no_references),
            ):
                try:
                    refused()
                except StorageClosedError:
                    continue
                raise AssertionError("it refuses not everything") from error
        else:
            tolerant, self._tolerant = self._tolerant, False
            self.commit({oid(0xFF): b"it works after an error"})
            self._tolerant = tolerant


class _Metadata(TransactionMetaData):
    """What a transaction says about itself, and the tid that it will have."""

    def __init__(self, tid: bytes, note: str, extension: dict[str, Any] | None) -> None:
        super().__init__("", note, extension)
        self.tid = tid


class _Allowed:
    """The body may raise errors of the tree, where the script is tolerant; they are kept."""

    def __init__(self, script: Script, tolerant: bool) -> None:
        self._script = script
        self._tolerant = tolerant

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if self._tolerant and isinstance(error, POSError):
            self._script.failed(error)
            return True
        return False
