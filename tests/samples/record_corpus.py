"""Records of all kinds, and damaged ones, for what reads records in C.

Everything follows from a seed. `FUZZ_COUNT` is how many a test should try; what runs
under a sanitizer wants fewer, a soak more: the environment variable of that name says so.
"""

import datetime
import decimal
import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from BTrees.IOBTree import IOBTree
from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from samples.records_jar import Jar
from samples.records_objects import Node, Point, Slotted, TakesArguments

__all__ = ["FUZZ_COUNT", "damaged", "record", "records"]

FUZZ_COUNT = int(os.environ.get("PERDURE_FUZZ_COUNT", "4000"))

_LEAVES: tuple[Callable[[Random], Any], ...] = (
    lambda random: random.randrange(-300, 70_000),
    lambda random: random.random(),
    lambda random: random.getrandbits(random.randrange(200)) - 5,
    lambda random: "é\ud800x€𝄞" * random.randrange(4),
    lambda random: "text" * random.choice([0, 1, 2, 100]),
    lambda random: random.randbytes(random.choice([0, 7, 8, 8, 9, 300])),
    lambda _: None,
    lambda random: random.random() < 0.5,
    lambda _: Node(),
    lambda _: PersistentMapping(),
    lambda _: WeakRef(Node()),
    lambda _: TakesArguments("k"),
    lambda _: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    lambda _: decimal.Decimal("1.50"),
    lambda _: Node,
)

_BRANCHES: tuple[Callable[[Random, int], Any], ...] = (
    lambda random, depth: [_value(random, depth) for _ in range(random.randrange(4))],
    lambda random, depth: tuple(_value(random, depth) for _ in range(random.randrange(5))),
    lambda random, depth: {
        random.choice(("a", "b", 1, 2, (1, "x"), b"8 bytes.")): _value(random, depth)
        for _ in range(random.randrange(4))
    },
    lambda random, depth: Point(_value(random, depth), _value(random, depth)),
    lambda random, depth: Slotted(_value(random, depth), _value(random, depth)),
    lambda random, _: {random.randrange(9), "x", frozenset([3])},
    lambda random, depth: _twice(_value(random, depth)),
)

# Opcodes and their arguments: what is put in somewhere does damage that still looks like a pickle.
_LIKELY_BYTES = b"hqXCU(Q\x85\x86\x87t)]}laedsucR\x81\x8abrj.\x00\x01\x02\x08NKMJGBT\x80\n"


def _twice(value: Any) -> list[Any]:
    return [value, value]


def _value(random: Random, depth: int = 0) -> Any:
    if depth < 4 and random.random() < 0.45:
        return random.choice(_BRANCHES)(random, depth + 1)
    return random.choice(_LEAVES)(random)


def record(random: Random) -> bytes:
    """Return a record as the writer writes it."""
    kind = random.randrange(8)
    if kind == 0:
        return Jar().store(
            OOBTree({str(n): _value(random, 3) for n in range(random.randrange(40))})
        )
    if kind == 1:
        return Jar().store(IOBTree({n: Node() for n in range(random.randrange(20))}))
    if kind == 2:
        return Jar().store(OOTreeSet(range(random.randrange(9))))
    value = _value(random)
    return Jar().store(Node(state=value, again=value, more=_value(random)))


def records(seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` sound records."""
    random = Random(seed)
    for _ in range(count):
        yield record(random)


def damaged(random: Random, data: bytes) -> bytes:
    """Return `data` with bits flipped, bytes lost, put in or exchanged, or cut short."""
    bytes_ = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        if not bytes_:
            break
        at = random.randrange(len(bytes_))
        match random.randrange(6):
            case 0:
                bytes_[at] = random.randrange(256)
            case 1:
                bytes_[at] ^= 1 << random.randrange(8)
            case 2:
                bytes_[at] = random.choice(_LIKELY_BYTES)
            case 3:
                bytes_[at:at] = bytes([random.choice(_LIKELY_BYTES)])
            case 4:
                del bytes_[at : at + random.randrange(1, 5)]
            case 5 if random.random() < 0.3:
                del bytes_[at:]
    return bytes(bytes_)
