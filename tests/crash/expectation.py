"""What may be in a database after a crash: what was acknowledged, perhaps what was in flight.

A scenario numbers its transactions from 0 and marks what happens to them; the
marks before a crash say what to expect after it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from zlib import crc32

__all__ = [
    "NO_PACKS",
    "Expectation",
    "Finishing",
    "Gone",
    "Pack",
    "Packing",
    "Returned",
    "Seen",
    "expectation",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """A transaction as a storage shows it: records by oid, None where the object is gone."""

    tid: bytes
    note: bytes
    extension: bytes
    records: dict[bytes, bytes | None]

    def __repr__(self) -> str:
        records = {oid.hex().lstrip("0"): _short(data) for oid, data in self.records.items()}
        return f"<{self.tid.hex()} {_short(self.note)} {_short(self.extension)} {records}>"


def _short(data: bytes | None) -> str:
    """Return what is enough to tell data apart."""
    if data is None or len(data) < 12:
        return repr(data)
    return f"{data[:8]!r}... ({len(data)}, crc {crc32(data):08x})"


@dataclass(frozen=True, slots=True)
class Finishing:
    """A transaction voted and is about to finish: from now on it may be there."""

    number: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A transaction was acknowledged, or seen by a reader: it must be there."""

    number: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A transaction in flight was not there after a restart: it must not come back."""

    number: int


@dataclass(frozen=True, slots=True)
class Packing:
    """A pack began: from now on its result may be there."""

    number: int


@dataclass(frozen=True, slots=True)
class Pack:
    """What a pack makes: `result` of the transactions whose numbers it `covers`."""

    result: tuple[Seen, ...]
    covers: frozenset[int]


NO_PACKS: Final[Mapping[int, Pack]] = MappingProxyType({})


@dataclass(slots=True)
class Expectation:
    """Numbers of transactions that must be there, and that may be; packs that may have worked."""

    returned: set[int] = field(default_factory=set)
    in_flight: set[int] = field(default_factory=set)
    packs: set[int] = field(default_factory=set)

    def contents(self, history: Sequence[Seen], packs: Mapping[int, Pack]) -> Iterator[list[Seen]]:
        """Yield each list of transactions that the database may have."""
        in_flight = sorted(self.in_flight)
        for count in range(len(in_flight) + 1):
            numbers = sorted(self.returned.union(in_flight[:count]))
            yield [history[number] for number in numbers]
            for pack in self.packs:
                if pack in packs:
                    covered = packs[pack].covers
                    rest = [history[number] for number in numbers if number not in covered]
                    yield [*packs[pack].result, *rest]


def expectation(marks: Iterable[object]) -> Expectation:
    """Return what the marks made so far lead to."""
    found = Expectation()
    for mark in marks:
        match mark:
            case Finishing(number):
                found.in_flight.add(number)
            case Returned(number):
                found.in_flight.discard(number)
                found.returned.add(number)
            case Gone(number):
                found.in_flight.discard(number)
            case Packing(number):
                found.packs.add(number)
    return found
