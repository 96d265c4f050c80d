"""A real power cut while blobs are committed: the names of files, too, are on the disk."""

import gc
import random
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

from crash.crashing import SEED
from crash.ext4 import Device
from perdure.errors import StorageError
from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.testing.contract.blobs import RECORD
from perdure.tools import check_file

CUTS = 50
OBJECTS = 7
TIMEOUT_S = 30


def oid(number: int) -> bytes:
    return p64(number % OBJECTS + 1)


def content(number: int) -> bytes:
    return b"%d " % number * (number * 61 % 1500)


class Work:
    """A process that commits one blob after the other, until the power is cut."""

    def __init__(self, storage: FileStorage, last: int) -> None:
        self.acknowledged = self.at_the_cut = last
        self._storage = storage
        self._at_work = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        """Return when something has been committed."""
        self._thread.start()
        assert self._at_work.wait(TIMEOUT_S)

    def remember(self) -> None:
        self.at_the_cut = self.acknowledged

    def join(self) -> None:
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        with suppress(StorageError):
            while True:
                self._commit(self.acknowledged + 1)
                self.acknowledged += 1
                self._at_work.set()

    def _commit(self, number: int) -> None:
        storage = self._storage
        source = Path(storage.temporaryDirectory(), "source")
        with suppress(OSError):  # the power is cut: the next call says so
            source.write_bytes(content(number))
        metadata = TransactionMetaData(description=str(number))
        storage.tpc_begin(metadata)
        try:
            serial = storage.lastTid(oid(number)) or ZERO
            storage.storeBlob(oid(number), serial, RECORD, str(source), "", metadata)
            storage.tpc_vote(metadata)
            storage.tpc_finish(metadata)
        except BaseException:
            storage.tpc_abort(metadata)
            raise


def look(storage: FileStorage) -> int:
    """Return the number of the last commit; all are there, and have their blobs."""
    numbers = []
    for transaction in storage.iterator():
        numbers.append(int(transaction.description))
        with storage.openCommittedBlobFile(oid(numbers[-1]), transaction.tid) as file:
            assert file.read() == content(numbers[-1])
    assert numbers == list(range(1, len(numbers) + 1))
    return len(numbers)


def test_a_power_cut_leaves_no_transaction_without_its_blob(device: Device) -> None:
    chance = random.Random(SEED)
    path, blob_dir = device.place / "data.fs", device.place / "blobs"
    acknowledged = begun = 0
    for _ in range(CUTS):
        device.mount()
        storage = FileStorage(path, blob_dir=blob_dir)
        last = look(storage)
        # What is acknowledged during the ioctl may be there or not: see `test_power_cut`.
        assert acknowledged <= last <= begun + 1
        work = Work(storage, last)
        work.start()
        time.sleep(chance.uniform(0, 0.006))  # the moment of the cut is to be any
        device.shut_down(work.remember)
        work.join()
        acknowledged, begun = work.at_the_cut, work.acknowledged
        with suppress(StorageError, OSError):
            storage.close()
        del storage, work
        gc.collect()
        device.unmount()
    device.mount()
    with closing(FileStorage(path, blob_dir=blob_dir)) as storage:
        assert acknowledged <= look(storage) <= begun + 1
    assert check_file(path, blob_dir=blob_dir).findings == ()
    del storage
    gc.collect()
    device.unmount()
    assert acknowledged > CUTS
