"""The scan of a data file in C: positions like a dictionary, sweeps that stop before damage."""

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google_crc32c import extend as extend_crc

from perdure.ids import MAX_TID, ZERO, p64
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.scan import Scanner, Transaction
from samples.file_histories import damage, make_history
from samples.record_corpus import FUZZ_COUNT, damaged, records

filescan = pytest.importorskip("perdure.native._filescan", reason="it is not built")

LATER_THAN_ALL = b"\xff" * 8


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """Return a descriptor of an empty file, open for reading and writing."""
    descriptor = os.open(tmp_path / "data.fs", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def content(positions: Any) -> dict[bytes, int]:
    index = PositionIndex()
    index.take_in((first[:6], positions.page(first)) for first in positions.prefixes())
    return dict(index.items())


def some_oids(random: Random, kind: str) -> Callable[[], bytes]:
    match kind:
        case "dense":
            return lambda: p64(random.randrange(9000))
        case "a few pages":
            return lambda: p64(random.randrange(3) << 16 | random.randrange(65_000, 65_536))
        case _:
            return lambda: random.randbytes(8)


@pytest.mark.parametrize("kind", ["dense", "a few pages", "anywhere"])
def test_positions_are_a_mapping(kind: str) -> None:
    random = Random(1)
    some_oid = some_oids(random, kind)
    positions, model = filescan.Positions(), dict[bytes, int]()
    for _ in range(4 * FUZZ_COUNT):
        oid, position = some_oid(), random.randrange(1, 1 << 48)
        positions.put(oid, position)
        model[oid] = position
        probe = some_oid()
        assert positions.get(probe) == model.get(probe, 0)
    assert content(positions) == model
    assert positions.count() == len(model)
    again = filescan.Positions()
    for first in positions.prefixes():
        again.load(first[:6], positions.page(first))
    assert content(again) == model


def test_marks_stay_when_a_position_changes_and_are_no_part_of_it() -> None:
    positions = filescan.Positions()
    positions.put(p64(1), 10)
    positions.set_blob(p64(1), True)
    positions.set_gone(p64(1), True)
    positions.put(p64(1), 20)
    assert (positions.get(p64(1)), positions.is_blob(p64(1)), positions.count()) == (20, True, 0)
    positions.set_gone(p64(1), False)
    assert (positions.count(), positions.is_gone(p64(1))) == (1, False)
    positions.refer(p64(1))
    assert not positions.lacks_referred()
    positions.refer(p64(2))
    assert (positions.lacks_referred(), positions.get(p64(2)), positions.count()) == (True, 0, 1)
    assert content(positions) == {p64(1): 20}


@pytest.mark.parametrize(
    "call",
    [
        lambda positions: positions.get(b"short"),
        lambda positions: positions.get("\0" * 8),
        lambda positions: positions.put(p64(1), 0),
        lambda positions: positions.put(p64(1), 1 << 48),
        lambda positions: positions.put(p64(1), -1),
        lambda positions: positions.load(b"short", b""),
        lambda positions: positions.load(b"6bytes", b"no 8 bytes"[:7]),
        lambda positions: positions.page(b""),
        lambda positions: filescan.Sweep(0, 4, 9, b"", ZERO, positions, None, False, False),
        lambda positions: filescan.Sweep(0, 4, 9, ZERO, ZERO, {}, None, False, False),
        lambda positions: filescan.Sweep(0, 4, 9, ZERO, ZERO, None, None, True, False),
        lambda positions: filescan.Marking(0, 4, {}),
        lambda positions: filescan.Marking(0, 4, positions).reach([b"short"]),
        lambda positions: filescan.Marking(0, 4, positions).reach((p64(1),)),
        lambda positions: filescan.Marking.__new__(filescan.Marking).run(1),
        lambda positions: filescan.Marking(0, 4, positions).__init__(0, 4, positions),
        lambda positions: filescan.gather(b"", 4, positions, 4, 4, positions),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError, OverflowError)):
        call(filescan.Positions())


def swept(descriptor: int, size: int, checking: bool) -> list[tuple[int, bytes]]:
    """Return where a sweep stops, having been told each time to go on behind what stopped it."""
    positions = filescan.Positions()
    sweep = filescan.Sweep(
        descriptor, 4, size, ZERO, LATER_THAN_ALL, positions, extend_crc, checking, checking
    )
    stops = []
    while sweep.position < size:
        if not sweep.run(1 << 20):
            stops.append((sweep.position, sweep.last_tid))
            sweep.resume(sweep.position + 1, sweep.last_tid)
        sweep.take_odd()
        sweep.take_blobs()
    assert sum(count for _, count, _ in sweep.classes()) <= sweep.records
    content(positions)
    return stops


@pytest.mark.parametrize("checking", [False, True])
def test_a_sweep_stops_where_the_scanner_finds_something(
    checking: bool, tmp_path: Path, descriptor: int
) -> None:
    path, random = tmp_path / "history.fs", Random(3)
    make_history(path, 3, count=10)
    sound = path.read_bytes()
    for _ in range(FUZZ_COUNT // 40):
        data = damage(random, sound)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)
        stops = swept(descriptor, len(data), checking)
        scanner = Scanner(DataFile(path, os.dup(descriptor)), len(data))
        at, expected = 4, len(data)
        while at < len(data):
            found = scanner.examine(at)
            if not isinstance(found, Transaction):
                expected = at
                break
            at = found.end
        first = stops[0][0] if stops else len(data)
        # A check stops earlier, too: where something points to where it should not.
        assert first <= expected if checking else first == expected


def transaction(position: int, tid: int, *datas: bytes, oids: int = 1) -> bytes:
    """Return the bytes of a transaction without a checksum; its records have oids from `oids`."""
    body = b"".join(
        struct.pack(">QQQQHQ", oids + n, tid, 0, position, 0, len(data)) + (data or bytes(8))
        for n, data in enumerate(datas)
    )
    length = 23 + len(body)
    return struct.pack(">QQcHHH", tid, length, b" ", 0, 0, 0) + body + struct.pack(">Q", length)


def test_records_of_any_content_are_checked_without_a_crash(descriptor: int) -> None:
    random, data, tid = Random(4), b"FS30", 1
    sound = list(records(4, 50))
    oids = 1
    for _ in range(FUZZ_COUNT // 8):
        some = [damaged(random, random.choice(sound)) for _ in range(random.randrange(4))]
        data += transaction(len(data), tid, *some, oids=oids)
        tid += 1
        oids += len(some)
    os.pwrite(descriptor, data, 0)
    assert swept(descriptor, len(data), True) == []


def test_transactions_larger_than_the_window_are_taken_in(descriptor: int) -> None:
    data = b"FS30"
    for tid, size in enumerate((100, 5 << 20, 2 << 20, 1, 3 << 20), 1):
        data += transaction(len(data), tid, b"x" * size, b"y", oids=2 * tid)
    os.pwrite(descriptor, data, 0)
    positions = filescan.Positions()
    sweep = filescan.Sweep(
        descriptor, 4, len(data), ZERO, LATER_THAN_ALL, positions, None, False, False
    )
    while sweep.position < len(data):
        assert sweep.run(1 << 20)
    assert (sweep.transactions, sweep.records, positions.count()) == (5, 10, 10)


def test_a_sweep_stops_before_a_tid_and_at_one_that_is_not_later(descriptor: int) -> None:
    data = b"FS30"
    for tid in (3, 5, 5, 9):
        data += transaction(len(data), tid, b"x", oids=tid)
    os.pwrite(descriptor, data, 0)
    positions = filescan.Positions()
    sweep = filescan.Sweep(descriptor, 4, len(data), ZERO, p64(5), positions, None, False, False)
    assert not sweep.run(1 << 20)
    assert (sweep.transactions, sweep.last_tid) == (1, p64(3))
    sweep = filescan.Sweep(descriptor, 4, len(data), ZERO, MAX_TID, positions, None, False, False)
    assert not sweep.run(1 << 20)
    assert (sweep.transactions, sweep.last_tid) == (2, p64(5))


def test_an_error_of_the_checksum_passes_and_the_sweep_can_go_on(
    tmp_path: Path, descriptor: int
) -> None:
    make_history(tmp_path / "history.fs", 3, count=3)
    data = (tmp_path / "history.fs").read_bytes()
    os.pwrite(descriptor, data, 0)
    interrupted = True

    def extend(crc: int, piece: bytes) -> int:
        if interrupted:
            raise KeyboardInterrupt
        return int(extend_crc(crc, piece))

    sweep = filescan.Sweep(
        descriptor, 4, len(data), ZERO, LATER_THAN_ALL, filescan.Positions(), extend, False, False
    )
    with pytest.raises(KeyboardInterrupt):
        sweep.run(1 << 20)
    interrupted = False
    assert sweep.run(1 << 20)
    assert sweep.position == len(data)


def test_what_is_at_work_in_one_thread_refuses_another(tmp_path: Path, descriptor: int) -> None:
    make_history(tmp_path / "history.fs", 3, count=3)
    data = (tmp_path / "history.fs").read_bytes()
    os.pwrite(descriptor, data, 0)
    positions = filescan.Positions()
    refused = []

    def extend(crc: int, piece: bytes) -> int:
        for call in (sweep.take_odd, sweep.classes, positions.count, lambda: sweep.run(1)):
            with pytest.raises(RuntimeError, match="at work"):
                call()
            refused.append(threading.current_thread())
        return int(extend_crc(crc, piece))

    sweep = filescan.Sweep(
        descriptor, 4, len(data), ZERO, LATER_THAN_ALL, positions, extend, False, False
    )
    sweep.run(1 << 20)
    assert refused


def test_marking_leaves_what_it_does_not_know(descriptor: int) -> None:
    head = b"\x80\x03cm\nC\n."
    refers = head + b"C\x08" + p64(2) + b"Q."
    data = b"FS30"
    places = [len(data) + 23]
    data += transaction(len(data), 1, refers, b"no pickle", b"", oids=1)
    places += [places[0] + 42 + len(refers), places[0] + 84 + len(refers) + 9]
    os.pwrite(descriptor, data, 0)
    positions = filescan.Positions()
    for oid, place in enumerate([*places, len(data) + 1000, 1 << 47], 1):
        positions.put(p64(oid), place)
    marking = filescan.Marking(descriptor, 1 << 40, positions)
    marking.reach([p64(1), p64(3), p64(4), p64(5), p64(77)])
    while marking.run(2):
        pass
    assert sorted(marking.take_odd()) == [places[1], places[2], len(data) + 1000]
    assert marking.take_newer() == [p64(5)]
    marking.sort()
    assert (marking.count, marking.kept(0, 1 << 40)) == (1, [places[0]])
    assert positions.is_reached(p64(2))
    assert not positions.is_reached(p64(77))
    moved = filescan.Positions()
    body = filescan.gather(data[4:], 4, marking, 1000, 900, moved)
    assert body[:42] == struct.pack(">QQQQHQ", 1, 1, 0, 900, 0, len(refers))
    assert (body[42:], moved.get(p64(1))) == (refers, 1000)
    assert filescan.gather(data[4 : places[0] + 50], 4, marking, 1000, 900, moved) is None
    marking.keep(places[2], 0)
    marking.sort()
    assert filescan.gather(data[4:], 4, marking, 1000, 900, moved) is None


def test_random_bytes_marked_as_records_do_no_harm(descriptor: int) -> None:
    random = Random(5)
    data = b"".join(damaged(random, record) for record in records(5, 40))
    os.pwrite(descriptor, data, 0)
    for _ in range(FUZZ_COUNT // 40):
        marking = filescan.Marking(descriptor, 1 << 40, filescan.Positions())
        for _ in range(20):
            marking.await_(random.randrange(len(data) + 50))
        while marking.run(7):
            marking.take_odd()
        marking.sort()
        filescan.gather(data, 0, marking, 4, 4, filescan.Positions())
