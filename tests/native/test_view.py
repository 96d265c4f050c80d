"""Records are found and read in C as the pure functions do, or left to them."""

import os
import weakref
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure.errors import CorruptDataError, FileAccessError, POSKeyError
from perdure.ids import after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.reader import View
from samples.transactions import write

native_view = pytest.importorskip("perdure.native._view", reason="it is not built")

SIZES = (1, 300, 981, 982, 983, 4096, 70_000, (1 << 20) + 1)
"""Of records: shorter and longer than what is read ahead, and too large for the C code."""


def outcome(load: object, oid: bytes, tid: bytes) -> object:
    """Return what loading returns or raises, in a form to be compared."""
    try:
        return load(oid, tid)  # type: ignore[operator]
    except (POSKeyError, CorruptDataError, FileAccessError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("kept_bytes", [0, 8192, 8 << 20])
def test_revisions_are_the_same_whatever_their_size_and_time(
    storage: FileStorage, kept_bytes: int
) -> None:
    random = Random(1)
    tids = [p64(1)]
    for _ in range(3):
        for size in SIZES:
            tids.append(write(storage, {p64(size): random.randbytes(size), p64(7): b"7" * size}))
    view = storage._opened()
    view.keep(kept_bytes)
    found = set()
    for oid in [*map(p64, SIZES), p64(7), p64(9_999), p64(1 << 40), b"short", b"longer than 8"]:
        for tid in [*tids, *map(after, tids), b"\xff" * 8]:
            expected = outcome(view.pure_load_before, oid, tid)
            assert outcome(view.native_load_before, oid, tid) == expected
            native = view.records.load_before(oid, tid)
            found.add(None if native is None else type(native))
    assert found == {tuple, None, type(NotImplemented)}


def test_pointers_in_place_of_data_are_left_to_the_pure_function(storage: FileStorage) -> None:
    write(storage, {p64(1): b"one"})
    changed = write(storage, {p64(1): b"two"})
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.undo(changed, transaction)
    storage.tpc_vote(transaction)
    undone = storage.tpc_finish(transaction)
    assert storage._opened().records.load_before(p64(1), after(undone)) is NotImplemented
    assert storage.loadBefore(p64(1), after(undone)) == (b"one", undone, None)


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_reported_by_the_pure_function(storage: FileStorage, seed: int) -> None:
    random = Random(seed)
    oids = [p64(number) for number in range(1, 9)]
    for _ in range(4):
        write(storage, {oid: random.randbytes(random.choice((5, 200, 1500))) for oid in oids})
    view = storage._opened()
    path = view.file.path
    sound = path.read_bytes()
    differ = 0
    for _ in range(300):
        damaged = bytearray(sound)
        for _ in range(random.choice((1, 1, 20))):
            damaged[random.randrange(4, len(damaged))] ^= 1 << random.randrange(8)
        if random.random() < 0.2:
            del damaged[random.randrange(4, len(damaged)) :]
        copy = path.with_name("damaged.fs")
        copy.write_bytes(damaged)
        broken = View(
            DataFile(copy, os.open(copy, os.O_RDONLY)), view.index, view.end, view.last_tid
        )
        for oid in oids:
            for tid in (after(view.last_tid), view.last_tid, p64(2)):
                expected = outcome(broken.pure_load_before, oid, tid)
                assert outcome(broken.native_load_before, oid, tid) == expected
                differ += expected != outcome(view.load_before, oid, tid)
    assert differ > 100


def test_what_the_system_refuses_is_reported_by_the_pure_function(
    storage: FileStorage, tmp_path: Path
) -> None:
    write(storage, {p64(1): b"one"})
    view = storage._opened()
    directory = os.open(tmp_path, os.O_RDONLY)  # reading it fails
    broken = View(DataFile(view.file.path, directory), view.index, view.end, view.last_tid)
    with pytest.raises(FileAccessError, match="read it at byte"):
        broken.native_load_before(p64(1), b"\xff" * 8)


def test_wrong_arguments_are_refused(storage: FileStorage) -> None:
    view = storage._opened()
    with pytest.raises(TypeError):
        native_view.Records(view.index.pages, view.file, view.file.descriptor, 4)
    with pytest.raises(TypeError):
        native_view.Records([], view.file, view.file.descriptor, 4, 0)
    with pytest.raises(TypeError):
        view.records.load_before(p64(1))
    with pytest.raises(TypeError):
        native_view.Relay(1)
    with pytest.raises(TypeError):
        native_view.Relay().aim(view, view.pure_load_before)


def test_no_more_than_asked_for_is_kept(storage: FileStorage) -> None:
    oids = [p64(number) for number in range(1, 20)]
    write(storage, {oid: bytes(4096) for oid in oids})
    view = storage._opened()
    for kept_bytes, fewest, most in [(0, 0, 0), (8192, 4, 20), (1 << 20, 20, 20)]:
        view.keep(kept_bytes)
        for _ in range(2):
            for oid in oids:
                assert view.records.load_before(oid, b"\xff" * 8)[0] == bytes(4096)
        assert fewest <= view.records.block_reads <= most


def test_a_relay_passes_on_what_its_records_have(storage: FileStorage) -> None:
    tid = write(storage, {p64(1): b"one"})
    relay = native_view.Relay()
    with pytest.raises(RuntimeError):
        relay.call(p64(1), after(tid))
    relay.aim(storage._opened().records, lambda *given, **named: (given, named))
    assert relay.call(p64(1), after(tid)) == (b"one", tid, None)
    assert relay.call(p64(1), tid) is None
    assert relay.call(p64(2), tid) == ((p64(2), tid), {})
    assert relay.call(p64(1), tid=tid) == ((p64(1),), {"tid": tid})
    assert relay.call() == ((), {})
    relay.aim(None, lambda *given: given)
    assert relay.call(p64(1), tid) == (p64(1), tid)
    relay.aim(None, lambda *given: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        relay.call(p64(1), tid)


def test_a_relay_holds_what_it_calls_until_the_call_ends() -> None:
    relay = native_view.Relay()
    seen = []

    class Target:
        def __call__(self, oid: bytes, tid: bytes) -> str:
            relay.aim(None, lambda *given: "the next")
            seen.append(gone())
            return "the same"

    target: Any = Target()
    gone = weakref.ref(target)
    relay.aim(None, target)
    del target
    assert relay.call(b"oid", b"tid") == "the same"
    assert seen[0] is not None
    seen.clear()
    assert gone() is None
    assert relay.call(b"oid", b"tid") == "the next"
