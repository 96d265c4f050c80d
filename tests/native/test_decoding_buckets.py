"""The decoder in C fills buckets of BTrees as their __setstate__ does, or leaves them to that."""

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from importlib import import_module
from random import Random
from typing import Any
from weakref import ref

import pytest
from BTrees.IOBTree import IOBucket
from BTrees.OOBTree import OOBucket

from perdure import native
from perdure.errors import ConnectionStateError, POSKeyError, StateLoadError
from perdure.ids import p64
from perdure.records.opcodes import memo_overflow
from samples.record_corpus import FUZZ_COUNT, damaged
from samples.records_compared import likeness, pure_reader
from samples.records_jar import Jar
from samples.records_objects import Node

if not native.decoder:
    pytest.skip("the decoder is not in use", allow_module_level=True)

HEAD = b"\x80\x03cBTrees.IOBTree\nIOBucket\nq\x00."
SEED = 20261121

KEYS: dict[str, list[Any]] = {
    "I": [-(2**31), -70_000, -1, 0, 1, 255, 256, 65_535, 65_536, 2**31 - 1],
    "U": [0, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1],
    "L": [-(2**63), -(2**31) - 1, -(2**31), -1, 0, 255, 256, 2**31, 2**39, 2**63 - 1],
    "Q": [0, 255, 65_536, 2**31, 2**39, 2**63 - 1, 2**63, 2**64 - 1],
    "O": ["a", "", "b" * 300, "ä", "\ud800", 1, -1, 2**40, 2**70, 1.5, None],
}
VALUES: dict[str, list[Any]] = KEYS | {"F": [0.0, -1.25, 1 / 3, 1e30, float("inf"), float("nan")]}
FAMILIES = [
    *("IO", "II", "IU", "IF", "LO", "LL", "LF", "LQ", "OO", "OI", "OL", "OU", "OQ"),
    *("UO", "UU", "UI", "UF", "QO", "QQ", "QL", "QF"),
]
UNUSUAL = [True, b"bytes", b"8 bytes.", ("a", "b"), ["x"], {"x": 1}, Node]


def text(number: int) -> str:
    """Return a text to which nobody else refers."""
    return f"text number {number}"


def stored(cls: Any, items: tuple[Any, ...], behind: bool = True) -> tuple[Jar, bytes]:
    """Return a jar and the record of a bucket with these items."""
    jar = Jar()
    bucket = cls()
    following = cls()
    jar.store(following)
    bucket.__setstate__((items, following) if behind else (items,))
    return jar, jar.store(bucket)


def outcome(reader: Any, cls: Any, sound: bytes, record: bytes) -> Any:
    """Return the state of a bucket that is given a record, once one was read of its class."""
    reader.set_state(cls(), sound)
    bucket = cls()
    try:
        reader.set_state(bucket, record)
    except (StateLoadError, POSKeyError, ConnectionStateError, KeyError) as error:
        return type(error), "__setstate__ raised" in str(error)
    return likeness(bucket.__getstate__())


def agree(jar: Jar, cls: Any, sound: bytes, record: bytes) -> Any:
    """Fail if native code makes of a record what the unpickler does not make of it."""
    here, pure = jar.reopened(), jar.reopened()
    found = outcome(here.reader, cls, sound, record)
    if memo_overflow(record, 2):
        assert found[0] is StateLoadError  # the unpickler would take all memory
        return found
    assert found == outcome(pure_reader(pure), cls, sound, record), record
    return found


def buckets(chance: Random, size: int, values: dict[str, list[Any]] = VALUES) -> Iterator[Any]:
    """Yield every class of buckets, with items for it in any order."""
    for family in FAMILIES:
        module = import_module(f"BTrees.{family}BTree")
        keys = chance.choices(KEYS[family[0]], k=size)
        pairs = zip(keys, chance.choices(values[family[1]], k=size), strict=True)
        yield getattr(module, f"{family}Set"), tuple(keys)
        yield getattr(module, f"{family}Bucket"), tuple(each for pair in pairs for each in pair)


@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 60, 300])
def test_buckets_of_every_kind_have_the_state_that_the_unpickler_gives_them(
    size: int, behind: bool
) -> None:
    chance = Random(size)
    for cls, items in [each for _ in range(5) for each in buckets(chance, size)]:
        jar, record = stored(cls, items, behind)
        assert agree(jar, cls, record, record)[0] is tuple


def test_buckets_with_what_is_not_usual_have_it_too() -> None:
    chance = Random(SEED)
    values = {kind: UNUSUAL + usual for kind, usual in VALUES.items()}
    for cls, items in buckets(chance, 60, VALUES | {"O": values["O"]}):
        jar, record = stored(cls, items)
        assert agree(jar, cls, record, record)[0] is tuple


def test_numbers_that_are_no_keys_are_refused_as_by_the_pure_reader() -> None:
    for family, keys in (("IO", "L"), ("UO", "I"), ("LO", "Q"), ("QO", "L"), ("II", "O")):
        cls = getattr(import_module(f"BTrees.{family}BTree"), f"{family}Bucket")
        jar, sound = stored(cls, (1, "x", 2, "y") if family != "II" else (1, 1, 2, 2))
        other = import_module(f"BTrees.{keys}OBTree")
        for key in KEYS[keys]:
            _, record = stored(getattr(other, f"{keys}OBucket"), (key, "x", key, "y"))
            head = sound.index(b".\x80") + 1
            agree(jar, cls, sound, sound[:head] + record[record.index(b".\x80") + 1 :])


@pytest.mark.parametrize(
    "state",
    [
        b"(K\x01X\x01\x00\x00\x00aK\x02X\x01\x00\x00\x00bt\x85.",
        b"(K\x01X\x01\x00\x00\x00aq\x01K\x02X\x01\x00\x00\x00bq\x02tq\x03\x85q\x04.",
        b"(K\x01X\x01\x00\x00\x00ar\x01\x00\x00\x00K\x02Ntr\x02\x00\x00\x00\x85r\x03\x00\x00\x00.",
        b"(K\x01X\x01\x00\x00\x00aq\x01K\x02h\x01t\x85.",  # from the memo
        b"(K\x01X\x01\x00\x00\x00aq\x07K\x02h\x07t\x85.",  # not the next place in it
        b"(K\x01X\x01\x00\x00\x00aq\x00K\x02Nt\x85.",
        b"(K\x01NK\x02t\x85.",  # a key alone
        b"(K\x01Nt\x85.",
        b"(t\x85.",
        b")\x85.",
        b"K\x01N\x86\x85.",
        b"(K\x01X\x02\x00\x00\x00\xff\xfft\x85.",  # no UTF-8
        b"(K\x01X\x02\x00\x00\x00abK\x02X\x02\x00\x00\x00\xff\xfft\x85.",
        b"(K\x01X\x03\x00\x00\x00\xed\xa0\x80t\x85.",  # a surrogate
        b"(K\x01X\xff\xff\xff\xffat\x85.",
        b"(K\x01\x8a\x00K\x02\x8a\x01\xfft\x85.",
        b"(\x8a\x01\x05N\x8a\x09\x05\x00\x00\x00\x00\x00\x00\x00\x00Nt\x85.",
        b"(K\x01G?\xf8\x00\x00\x00\x00\x00\x00t\x85.",
        b"(K\x01G?\xf8\x00\x00",
        b"(K\x01]K\x05at\x85.",  # a list, and not two items
        b"(K\x01Nt0)\x85.",
        b"(K\x01NtN\x86.",  # None behind it
        b"(K\x01Nt\x86.",
        b"(K\x01Nt\x85",
        b"(K\x01Nt\x85N.",
        b"(K\x01Nt",
        b"(K\x01Nt.",
        b"(K\x01Ntq\x01h\x01\x86.",
        b"(K\x01Ntq\x01C\x08\0\0\0\0\0\0\0\x05q\x02h\x00\x86q\x03Q\x86q\x04.",
        b"(K\x01NtC\x08\0\0\0\0\0\0\0\x05q\x01h\x00\x86q\x02Q\x86.",
        b"(K\x01NtC\x08\0\0\0\0\0\0\0\x05q\x01h\x00\x86q\x02Q\x85.",
        b"(K\x01NtC\x08\0\0\0\0\0\0\0\x05q\x01h\x00\x86q\x02Q0\x85.",
        b"(K\x01Ntq\x01C\x08\0\0\0\0\0\0\0\x05q\x02h\x01\x86q\x03Q\x86.",  # of no class
        b"(K\x01Ntq\x01C\x08\0\0\0\0\0\0\0\x05q\x02h\x00\x86q\x03Q\x86h\x01\x86.",
        # A text in the class's place.
        b"(K\x01X\x01\x00\x00\x00aq\x00tq\x02C\x08\0\0\0\0\0\0\0\x05q\x03h\x00\x86q\x04Q\x86.",
        # The items in the class's place.
        b"(K\x01Ntq\x00C\x08\0\0\0\0\0\0\0\x05q\x02h\x00\x86q\x03Q\x86.",
        b"(K\x01NtC\x08\0\0\0\0\0\0\0\x05\x86.",  # no reference
        b"(K\x01NtC\x08\0\0\0\0\0\0\0\x05.",
        b"(K\x01NtC\x08\0\0\0",
        b"N.",
        b"}.",
    ],
)
def test_states_of_every_form_are_given_as_by_the_pure_reader(state: bytes) -> None:
    jar, sound = stored(IOBucket, (1, "x", 2, "y"))
    assert sound.startswith(HEAD)
    for start in (b"\x80\x03", b"\x80\x02", b"\x80\x05", b""):
        agree(jar, IOBucket, sound, HEAD + start + state)


def test_the_bucket_behind_is_that_of_the_cache_and_is_counted() -> None:
    jar, record = stored(IOBucket, (1, "x", 2, "y"))
    here = jar.reopened()
    following = here.get(p64(1))
    first, second = IOBucket(), IOBucket()
    for bucket in (first, second):
        here.reader.set_state(bucket, record)
    assert first.__getstate__()[1] is second.__getstate__()[1] is following
    assert here.reader.hits == 2


def test_what_is_in_a_bucket_has_as_many_references_as_usual_and_goes_with_it() -> None:
    jar, record = stored(OOBucket, tuple(map(text, range(60))))
    readers = jar.reopened().reader, pure_reader(jar.reopened())
    counted = []
    for reader in readers:
        bucket = OOBucket()
        reader.set_state(bucket, record)
        items, following = bucket.__getstate__()
        counted.append([*map(sys.getrefcount, items), sys.getrefcount(following)])
    assert counted[0] == counted[1]


def test_what_was_read_before_an_error_is_let_go_of() -> None:
    items = b"".join(b"K%cX\x50\x00\x00\x00%b" % (n, b"x" * 80) for n in range(200))
    wrong = [
        items + b"K\x01X\x02\x00\x00\x00\xff\xfft\x85.",
        items + b"tC\x08\0\0\0\0\0\0\0\x05q\x01h\x00\x86q\x02Q\x85.",
        items + b"tN\x87.",
    ]
    jar, sound = stored(IOBucket, (1, "x", 2, "y"))
    here = jar.reopened()
    here.reader.set_state(IOBucket(), sound)

    def read() -> None:
        for state in wrong:
            with pytest.raises(StateLoadError):
                here.reader.set_state(IOBucket(), HEAD + b"\x80\x03(" + state)

    read()
    tracemalloc.start()
    try:
        read()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            read()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000  # 200 texts take more
    finally:
        tracemalloc.stop()


def test_neither_a_tuple_nor_numbers_are_made_to_fill_a_bucket() -> None:
    jar, record = stored(IOBucket, tuple(each for n in range(1000) for each in (n + 1000, None)))
    reader = jar.reopened().reader
    reader.set_state(IOBucket(), record)
    bucket = IOBucket()
    tracemalloc.start()
    try:
        reader.set_state(bucket, record)
        assert tracemalloc.get_traced_memory()[1] < 1_000
    finally:
        tracemalloc.stop()
    assert len(bucket) == 1000


def test_a_bucket_that_has_items_already_gets_others() -> None:
    jar, record = stored(IOBucket, (1, text(1), 2, text(2)))
    reader = jar.reopened().reader
    reader.set_state(IOBucket(), record)
    bucket = IOBucket({number: Node() for number in range(10)})
    before = ref(bucket[5])
    reader.set_state(bucket, record)
    assert dict(bucket) == {1: text(1), 2: text(2)}
    assert before() is None


def test_a_bucket_that_is_given_items_while_it_is_read_gets_those_of_the_record() -> None:
    jar, record = stored(IOBucket, (1, text(1), 2, text(2)))
    reader = jar.reopened().reader
    reader.set_state(IOBucket(), record)
    set_state, bucket, given = reader.set_state, IOBucket(), []

    def give(phase: str, info: dict[str, int]) -> None:
        node = Node()
        bucket.__setstate__(((7, node),))
        given.append(ref(node))

    # To make the bucket behind it has the collector run, which says so first.
    thresholds = gc.get_threshold()
    gc.disable()
    many: list[Any] = [[] for _ in range(10)]
    gc.callbacks.append(give)
    gc.set_threshold(1)
    gc.enable()
    try:
        set_state(bucket, record)
    finally:
        gc.callbacks.remove(give)
        gc.set_threshold(*thresholds)
    assert many
    assert dict(bucket) == {1: text(1), 2: text(2)}
    assert not any(each() for each in given)


class OwnBucket(IOBucket):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(((5, "own"),))


def test_a_bucket_of_a_class_made_in_python_is_asked_to_take_its_state() -> None:
    jar, record = stored(OwnBucket, (1, "x", 2, "y"))
    reader = jar.reopened().reader
    for _ in range(2):
        bucket = OwnBucket()
        reader.set_state(bucket, record)
        assert dict(bucket) == {5: "own"}


def test_both_make_the_same_of_damaged_buckets() -> None:
    chance = Random(SEED)
    for _ in range(1 + FUZZ_COUNT // 4000):
        for cls, items in buckets(chance, chance.randrange(2, 9)):
            jar, sound = stored(cls, items)
            start = sound.index(b".\x80") + 1
            for _ in range(20):
                state = damaged(chance, sound[start:])
                agree(jar, cls, sound, sound[:start] + state)
