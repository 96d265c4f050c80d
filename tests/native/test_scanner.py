"""The scan of records in C gives what the pure functions give, or leaves it to them."""

import tracemalloc
from random import Random

import pytest

from perdure.errors import StateLoadError
from perdure.ids import p64
from perdure.records.classmeta import pure_class_at_head
from perdure.records.opcodes import memo_overflow
from perdure.records.references import pure_references
from samples.record_corpus import FUZZ_COUNT, damaged, records

scanner = pytest.importorskip("perdure.native._scanner", reason="it is not built")

HEAD = b"\x80\x03cno.such\nThing\nq\x00."
SEED = 20261121


def agrees(record: bytes) -> bool:
    """Return whether the scan knew the record; fail if it is wrong about it."""
    found = scanner.references(record)
    assert scanner.class_at_head(record) == pure_class_at_head(record)
    if found is None:
        return False
    try:
        assert not memo_overflow(record, 2)
        assert found == pure_references(record), record
    except StateLoadError as error:
        raise AssertionError(f"{record!r}: found {found}, expected {error}") from error
    return True


def test_both_find_the_same_in_sound_records() -> None:
    known = [agrees(record) for record in records(SEED, FUZZ_COUNT)]
    assert known.count(True) > 0.98 * FUZZ_COUNT


def test_what_the_scan_takes_of_damaged_records_is_what_the_unpickler_finds() -> None:
    random = Random(SEED)
    sound = list(records(SEED + 1, 200))
    known = [agrees(damaged(random, random.choice(sound))) for _ in range(4 * FUZZ_COUNT)]
    assert 0 < known.count(True) < len(known)


def test_every_cut_of_a_record_is_left_to_the_pure_function() -> None:
    for record in records(SEED + 2, 30):
        for end in range(len(record)):
            assert scanner.references(record[:end]) is None


@pytest.mark.slow
def test_both_find_the_same_in_a_million_records() -> None:
    assert sum(map(agrees, records(SEED + 3, 1_000_000))) > 980_000


@pytest.mark.slow
def test_both_find_the_same_in_millions_of_damaged_records() -> None:
    random = Random(SEED + 4)
    for _ in range(100):
        sound = list(records(random.getrandbits(32), 200))
        for _ in range(30_000):
            agrees(damaged(random, random.choice(sound)))


@pytest.mark.parametrize(
    ("state", "known"),
    [
        (b"C\x08" + p64(5) + b"Q.", True),
        (b"U\x08" + p64(5) + b"Q.", True),  # as Python 2 wrote it
        (b"C\x08" + p64(5) + b"ca\nB\n\x86Q.", True),
        (b"]C\x08" + p64(5) + b"aQ.", True),  # weak
        (b"C\x07" + p64(5)[1:] + b"Q.", False),
        (b"X\x08\0\0\0" + p64(5) + b"Q.", False),  # text; somebody did
        (b")Q.", False),
        (b"NQ.", False),
        (b"Q.", False),
        (b"(K\x01K\x02K\x03d.", False),  # a key without a value
        (b"}]K\x01s.", False),  # a list cannot be a key,
        (b"}]\x85K\x01s.", False),  # nor what has one in it
        (b"ca\nB\n]K\x01s.", False),
        (b"ca\nB\n)R]K\x01s.", True),
        (b"ca\nB\nK\x01\x81.", False),
        (b"ca\nB\n)\x81)\x81.", False),
        (b"X\x01\0\0\0\xff.", False),
        (b"c\xff\nB\n.", False),
        (b"c\nB\n.", False),
        (b"\x80\x06N.", False),
        (b"NN.", False),
        (b"(N.", False),
        (b"h\x01.", False),
        (b"h\x00.", True),  # from the first pickle
        (b"T\xff\xff\xff\xff.", False),
        (b"N", False),
        (b"I01\n.", False),
    ],
)
def test_whatever_is_unusual_is_left_to_the_pure_function(state: bytes, known: bool) -> None:
    assert agrees(HEAD + state) is known


@pytest.mark.parametrize("number", [40, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_number_beyond_reason_takes_no_memory(number: int) -> None:
    put = HEAD + b"]r" + number.to_bytes(4, "little") + b"."
    get = HEAD + b"j" + number.to_bytes(4, "little") + b"."
    tracemalloc.start()
    try:
        assert scanner.references(put) is None
        assert scanner.references(get) is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


PAIR_HEAD = b"\x80\x03cno.such\nPair\nq\x00C\x08" + p64(7) + b"q\x01\x85q\x02\x86q\x03."


@pytest.mark.parametrize(
    "states",
    [
        # What the memo of the first pickle has is used, or written over, in the second.
        [b"\x80\x03h\x00.", b"\x80\x03}q\x00h\x00.", b"\x80\x03h\x01.", b"\x80\x03h\x00."],
        [b"\x80\x03C\x08" + p64(number) + b"q\x00h\x00\x86Q." for number in range(3)],
    ],
)
@pytest.mark.parametrize(
    "heads", [[HEAD], [HEAD, PAIR_HEAD], [b"\x80\x03" + b"M\1\0" * 90 + b"."], [b"Nq\x07."]]
)
def test_records_that_begin_alike_do_not_get_in_the_way_of_one_another(
    heads: list[bytes], states: list[bytes]
) -> None:
    every = [head + state for _ in range(2) for state in states for head in heads]
    alone = [scanned_alone(record) for record in every]
    assert [scanner.references(record) for record in every] == alone
    for record in every:
        agrees(record)


def scanned_alone(record: bytes) -> list[bytes] | None:
    """Return what the scan finds with nothing known of records before."""
    scanner.references(HEAD + b"\x80\x03(" + b"N" * 5_000 + b"t.")  # so large that all is forgotten
    found: list[bytes] | None = scanner.references(record)
    return found


def test_an_oid_in_the_first_pickle_is_that_of_its_own_record() -> None:
    def record(number: int) -> bytes:
        oid = b"C\x08" + p64(number) + b"q\x01"
        return b"\x80\x03cno.such\nThing\nq\x00" + oid + b"\x86." + b"\x80\x03h\x01h\x00\x86Q."

    for number in (1, 2, 1):
        assert scanner.references(record(number)) == [p64(number)]
        assert agrees(record(number))


def test_a_large_record_is_scanned_whole() -> None:
    many = b"".join(b"C\x08" + p64(n) + b"Q" for n in range(50_000))
    record = HEAD + b"](" + many + b"e."
    assert scanner.references(record) == [p64(n) for n in range(50_000)]
    deep = HEAD + b"](" * 100_000 + b"C\x08" + p64(7) + b"Q" + b"e" * 100_000 + b"."
    assert scanner.references(deep) == [p64(7)]


def test_what_is_no_record_is_left_alone() -> None:
    for data in (b"", b".", b"..", b"\x80", b"N.N", HEAD, HEAD * 2):
        agrees(data)
    assert scanner.references(memoryview(HEAD)) is None
