"""A real power cut, as far as the disk can tell: ext4 is shut down in mid-commit, 200 times."""

import gc
import os
import random
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from crash.crashing import SEED
from crash.ext4 import Device, ext4_device, why_not
from crash.workers import check_transactions, check_workers, work
from perdure.clock import time_of
from perdure.errors import StorageError
from perdure.fileops import FileOperations
from perdure.storages.file import FileStorage
from perdure.tools import check_file
from samples.file_operations import Unsynced

CUTS = 200
WORKERS = 3
LARGE_BYTES = 250_000
TIMEOUT_S = 30


class Crew:
    """Workers on a storage, until the power is cut; one packs when the file is large."""

    def __init__(self, storage: FileStorage, acknowledged: dict[int, int]) -> None:
        self._storage = storage
        self._acknowledged = acknowledged
        self.packing = storage.getSize() > LARGE_BYTES
        self.packed = False
        self._at_work = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(worker,)) for worker in range(WORKERS)
        ]
        if self.packing:
            self._threads.append(threading.Thread(target=self._pack))

    def start(self) -> None:
        """Return when something has been committed."""
        for thread in self._threads:
            thread.start()
        assert self._at_work.wait(TIMEOUT_S)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()

    def _work(self, worker: int) -> None:
        with suppress(StorageError):
            work(self._storage, worker, self._acknowledge)

    def _acknowledge(self, worker: int, number: int) -> None:
        self._acknowledged[worker] = number
        self._at_work.set()

    def _pack(self) -> None:
        storage = self._storage
        with suppress(StorageError):
            storage.pack(time_of(storage.lastTransaction()), lambda record: [], gc=False)
            self.packed = True


class Cuts:
    """A database that goes on after each power cut; what had been acknowledged before it.

    What is acknowledged while the ioctl runs would not be heard by anybody after a real
    power cut. It may be lost: a sync that is under way then, or begins, sometimes
    returns without an error. So what counts is what was acknowledged just before.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.path = device.place / "data.fs"
        self.acknowledged = dict.fromkeys(range(WORKERS), 0)
        self._at_the_cut = dict(self.acknowledged)
        self._first = dict.fromkeys(range(WORKERS), 1)  # that no pack has come over
        self._packing = False
        self.packs = self.interrupted_packs = self.syncs = 0

    def cut(self, chance: random.Random, operations: FileOperations | None = None) -> None:
        """Look at what the last power cut has left, go on, and cut the power."""
        self._device.mount()
        storage = FileStorage(
            self.path, checkpoint_bytes=50_000, pack_keep_old=False, operations=operations
        )
        self._check(storage)
        crew = Crew(storage, self.acknowledged)
        crew.start()
        time.sleep(chance.uniform(0, 0.006))  # the moment of the cut is to be any
        self._device.shut_down(self._remember)
        crew.join()
        self._packing = crew.packing
        self.packs += crew.packed
        self.interrupted_packs += crew.packing and not crew.packed
        self.syncs += round(storage.counters()["syncs"])
        with suppress(StorageError):
            storage.close()
        del storage, crew
        self._unmount()

    def check(self) -> None:
        """Raise `AssertionError` unless the file has all that was acknowledged."""
        self._device.mount()
        try:
            storage = FileStorage(self.path)
            try:
                self._check(storage)
            finally:
                storage.close()
                del storage
        finally:
            self._unmount()

    def _check(self, storage: FileStorage) -> None:
        last = check_workers(storage, self._at_the_cut, self.acknowledged)
        first = check_transactions(storage, last)
        assert self._packing or first == self._first, "transactions from before are missing"
        findings = check_file(self.path).findings
        assert findings == ()
        self.acknowledged, self._first = last, first

    def _remember(self) -> None:
        self._at_the_cut = dict(self.acknowledged)

    def _unmount(self) -> None:
        gc.collect()  # errors under way keep open files in their tracebacks
        self._device.unmount()


def test_nothing_acknowledged_is_lost_when_the_power_is_cut(device: Device) -> None:
    cuts = Cuts(device)
    for number in range(CUTS):
        try:
            cuts.cut(random.Random(f"{SEED} {number}"))
        except BaseException as error:
            error.add_note(f"seed {SEED}, power cut {number}")
            raise
    cuts.check()
    assert sum(cuts.acknowledged.values()) > 2 * CUTS
    assert cuts.syncs < sum(cuts.acknowledged.values()), "no two commits shared a sync"
    assert cuts.packs + cuts.interrupted_packs > 3


def test_the_power_cut_is_one(device: Device) -> None:
    """Without syncs, what was acknowledged is lost."""
    cuts = Cuts(device)
    cuts.cut(random.Random(SEED))
    cuts.cut(random.Random(SEED), Unsynced())
    with pytest.raises(AssertionError, match="found commit"):
        cuts.check()


def test_the_power_of_nothing_else_is_cut(device: Device) -> None:
    with pytest.raises(RuntimeError, match="is not mounted at"):
        device.shut_down()
    device.mount()
    assert os.path.ismount(device.place)
    device.unmount()


def test_whatever_fails_nothing_stays_mounted(device: Device, tmp_path: Path) -> None:
    opened = []

    def fail() -> None:
        with ext4_device(tmp_path) as another:
            another.mount()
            opened.append((another.place / "file").open("wb"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not os.path.ismount(tmp_path / "mount")
    opened[0].close()
    assert str(tmp_path) not in subprocess.check_output(["losetup", "--all"], text=True)


def test_a_machine_without_the_tools_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert why_not() == "mounting a file system needs root"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    assert why_not() == "there is no mkfs.ext4 and no losetup and no mount and no umount"
