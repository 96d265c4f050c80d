"""Graphs of objects made at random from a seed, and tricks played on their records."""

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from BTrees.IOBTree import IOBTree
from BTrees.OOBTree import OOBTree, OOSet
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from samples.records_objects import Node, Point, Slotted, TakesArguments

__all__ = ["graph", "tricked"]

_TEXTS = ("", "a", "name", "title", "ä", "\u20ac", "\U0001f600", "\ud800", "x" * 255, "y" * 300)
_NUMBERS = (0, 1, -1, 255, 256, 65535, 65536, -129, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**63))


class _Growing:
    """A graph that grows: values made so far can be referred to again."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.made: list[Any] = []

    def value(self, depth: int) -> Any:
        chance = self.chance
        if self.made and chance.random() < 0.15:
            return chance.choice(self.made)
        makers = _LEAVES if depth <= 0 or chance.random() < 0.5 else _BRANCHES
        value = chance.choice(makers)(self, depth - 1)
        if chance.random() < 0.5:
            self.made.append(value)
        return value

    def values(self, depth: int) -> list[Any]:
        return [self.value(depth) for _ in range(self.chance.choice((0, 1, 2, 3, 5, 8)))]

    def key(self) -> Any:
        return self.chance.choice(_KEYS)(self, 0)

    def some_keys(self) -> list[Any]:
        return [self.key() for _ in range(self.chance.choice((0, 1, 2, 5)))]


Maker = Callable[[_Growing, int], Any]


def _a_list(growing: _Growing, depth: int) -> Any:
    made: list[Any] = []
    if growing.chance.random() < 0.3:
        growing.made.append(made)  # it may come to hold itself
    made.extend(growing.values(depth))
    if growing.chance.random() < 0.02:
        made *= 300
    return made


def _a_dictionary(growing: _Growing, depth: int) -> Any:
    made: dict[Any, Any] = {}
    if growing.chance.random() < 0.3:
        growing.made.append(made)
    made.update((key, growing.value(depth)) for key in growing.some_keys())
    return made


def _a_node(growing: _Growing, depth: int) -> Any:
    node = Node()
    if growing.chance.random() < 0.5:
        growing.made.append(node)
    _fill(node, growing, depth)
    return node


def _fill(node: Node, growing: _Growing, depth: int) -> None:
    for name in growing.chance.sample(("a", "name", "title", "_v_x", "_p_y", "ä", "_w"), 4):
        if not name.startswith("_p_"):
            setattr(node, name, growing.value(depth))


_KEYS: tuple[Maker, ...] = (
    lambda growing, depth: growing.chance.choice(_TEXTS),
    lambda growing, depth: growing.chance.choice(_NUMBERS),
    lambda growing, depth: growing.chance.randbytes(growing.chance.choice((0, 1, 8, 255, 256))),
    lambda growing, depth: (growing.chance.randrange(9), growing.chance.choice(_TEXTS)),
    lambda growing, depth: None,
    lambda growing, depth: growing.chance.random(),
)

_LEAVES: tuple[Maker, ...] = (
    *_KEYS,
    lambda growing, depth: growing.chance.random() < 0.5,
    lambda growing, depth: growing.chance.randrange(-(2**70), 2**70),
    lambda growing, depth: growing.chance.randrange(-(2**2100), 2**2100),
    lambda growing, depth: growing.chance.uniform(-1e300, 1e300),
    lambda growing, depth: (),
    lambda growing, depth: growing.chance.choice((Node, Point, Slotted, dict, int, len)),
    lambda growing, depth: datetime(2026, 1, 1, 12, growing.chance.randrange(60)),
    lambda growing, depth: date(2026, 1, growing.chance.randrange(1, 28)),
    lambda growing, depth: timedelta(growing.chance.randrange(100), 5),
    lambda growing, depth: Decimal(growing.chance.randrange(1000)) / 100,
    lambda growing, depth: UUID(int=growing.chance.getrandbits(128)),
    lambda growing, depth: complex(growing.chance.random(), 1),
    lambda growing, depth: bytearray(growing.chance.randbytes(5)),
    lambda growing, depth: TakesArguments(growing.chance.choice(_TEXTS[:4])),
    lambda growing, depth: WeakRef(Node(name="weakly")),
)

_BRANCHES: tuple[Maker, ...] = (
    _a_list,
    _a_list,
    _a_dictionary,
    _a_dictionary,
    _a_node,
    _a_node,
    lambda growing, depth: tuple(growing.values(depth)),
    lambda growing, depth: (growing.value(depth), growing.value(depth)),
    lambda growing, depth: set(growing.some_keys()),
    lambda growing, depth: frozenset(growing.some_keys()),
    lambda growing, depth: Point(growing.value(depth), growing.value(depth)),
    lambda growing, depth: Slotted(growing.value(depth), growing.value(depth)),
    lambda growing, depth: PersistentMapping(
        dict.fromkeys(growing.some_keys(), growing.value(depth))
    ),
    lambda growing, depth: PersistentList(growing.values(depth)),
    lambda growing, depth: OOBTree({f"k{n}": v for n, v in enumerate(growing.values(depth))}),
    lambda growing, depth: OOSet([f"k{n}" for n in range(growing.chance.randrange(50))]),
    lambda growing, depth: IOBTree({n: growing.value(0) for n in range(0, 200, 3)}),
)


def graph(seed: int, depth: int = 3) -> Node:
    """Return a new node with a graph of objects below it, the same for the same seed."""
    growing = _Growing(random.Random(seed))
    node = Node()
    growing.made.append(node)
    _fill(node, growing, depth)
    return node


def tricked(record: bytes, chance: random.Random) -> bytes:
    """Return `record` with an opcode put in somewhere that asks for what it must not get."""
    at = chance.randrange(len(record) + 1)
    return record[:at] + chance.choice(_TRICKS) + record[at:]


# What asks for much, or for what is not there.
_TRICKS = (
    b"r\xff\xff\xff\x7f",
    b"r\xff\xff\xff\xff",
    b"r\x00\x00\x01\x00",
    b"j\xff\xff\xff\x7f",
    b"h\xff",
    b"X\xff\xff\xff\xff",
    b"X\xff\xff\xff\x7f",
    b"B\xff\xff\xff\xff",
    b"T\xff\xff\xff\xff",
    b"\x8b\xff\xff\xff\xff",
    b"\x8b\xff\xff\xff\x7f",
    b"\x8a\xff",
    b"(",
    b"((((t",
    b"0",
    b"1",
    b"2",
    b"Q",
    b"R",
    b"\x81",
    b"b",
    b"u",
    b"s",
    b"e",
    b"a",
    b"}",
    b"]",
    b"N.",
    b"\x80\x04",
    b"\x80\x03",
    b"c\n\n",
    b"cbuiltins\nlist\n)R",
    b"cbuiltins\nlist\n)\x81",
    b"I5\n",
    b"p999999999\n",
    b"\x93",
    b"\x94",
)
