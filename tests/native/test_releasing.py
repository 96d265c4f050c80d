"""Others run while native code reads, writes, syncs or goes through a file."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from google_crc32c import extend as extend_crc

from perdure.ids import ZERO, p64
from perdure.storages.file import FileStorage
from samples.file_histories import make_history
from samples.transactions import write

CALLS = 20_000  # of which one is enough: another thread must be awake in time
LATER_THAN_ALL = b"\xff" * 8
MEGABYTE = bytes(1 << 20)


def another_thread_runs_during(call: Callable[[], object]) -> bool:
    """Tell whether another thread runs while `call` does: nothing else lets it."""
    gate, ready, ran = threading.Lock(), threading.Event(), threading.Event()
    gate.acquire()

    def other() -> None:
        ready.set()
        with gate:
            ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait()
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1_000)  # nobody is asked to let others run
    try:
        gate.release()
        for _ in range(CALLS):
            call()
            if ran.is_set():
                break
        return ran.is_set()
    finally:
        sys.setswitchinterval(before_s)
        thread.join()


@pytest.mark.parametrize("name", ["read", "write", "sync"])
def test_during_calls_of_the_system(name: str, tmp_path: Path) -> None:
    courtesy = pytest.importorskip("perdure.native._courtesy", reason="it is not built")
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        courtesy.write(descriptor, [MEGABYTE], 0)
        calls: dict[str, Callable[[], object]] = {
            "read": lambda: courtesy.read(descriptor, len(MEGABYTE), 0),
            "write": lambda: courtesy.write(descriptor, [MEGABYTE], 0),
            "sync": lambda: courtesy.sync(descriptor),
        }
        assert another_thread_runs_during(calls[name])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", ["sweep", "marking"])
def test_during_long_scans(name: str, tmp_path: Path) -> None:
    filescan = pytest.importorskip("perdure.native._filescan", reason="it is not built")
    path = tmp_path / "history.fs"
    make_history(path, 3, count=100)
    size = path.stat().st_size
    descriptor = os.open(path, os.O_RDONLY)

    def sweep() -> object:
        positions = filescan.Positions()
        sweep = filescan.Sweep(
            descriptor, 4, size, ZERO, LATER_THAN_ALL, positions, extend_crc, False, False
        )
        while not sweep.run(1 << 20):
            pass
        return positions

    positions = sweep()

    def mark() -> None:
        marking = filescan.Marking(descriptor, 1 << 40, positions)
        marking.reach_all()
        while marking.run(1_000):
            pass

    try:
        assert another_thread_runs_during(sweep if name == "sweep" else mark)
    finally:
        os.close(descriptor)


def test_while_a_record_is_read_that_is_not_in_memory(storage: FileStorage) -> None:
    pytest.importorskip("perdure.native._view", reason="it is not built")
    write(storage, {p64(1): MEGABYTE[:500_000]})
    view = storage._opened()
    view.keep(0)
    assert another_thread_runs_during(lambda: view.records.load_before(p64(1), LATER_THAN_ALL))


def test_while_the_past_is_read(storage: FileStorage) -> None:
    pytest.importorskip("perdure.native._reads", reason="it is not built")
    for number in range(20):
        write(storage, {p64(1): b"%d" % number})
    assert another_thread_runs_during(lambda: storage.history(p64(1), 20))
