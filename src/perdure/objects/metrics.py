"""What a database has done so far, in numbers: counted by connections, added up when asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perdure.capabilities import capabilities_of

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["Counters", "Metrics", "metrics_of", "total"]


@dataclass(slots=True)
class Counters:
    """What one connection did since it was made; only its own thread counts, without a lock.

    `loads`, `stores`: records read and written. `cache_hits`: references in
    records that led to an object in the cache. `commits`: transactions that
    this connection took part in, `conflicts`: those that failed with one,
    `resolved`: conflicts that were resolved.
    """

    loads: int = 0
    stores: int = 0
    cache_hits: int = 0
    commits: int = 0
    conflicts: int = 0
    resolved: int = 0


@dataclass(frozen=True, slots=True)
class Metrics:
    """What all connections of a database did since it was opened, and what there is now.

    The first six are sums of `Counters`; undos are `commits` as well.
    `connections_open` and `connections_resting` count connections, `objects_in_memory`
    their objects that are not ghosts. `storage` is what the storage counts, by name; a
    file storage counts `syncs` and the seconds that they took, `sync_s`.
    """

    loads: int
    stores: int
    cache_hits: int
    commits: int
    conflicts: int
    resolved: int
    connections_open: int
    connections_resting: int
    objects_in_memory: int
    storage: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def total(counters: Iterable[Counters]) -> Counters:
    """Return the sum of all `counters`."""
    result = Counters()
    for each in counters:
        for name in _NAMES:
            setattr(result, name, getattr(result, name) + getattr(each, name))
    return result


_NAMES = [each.name for each in fields(Counters)]


def metrics_of(
    connections: Sequence["Connection"], forgotten: Iterable[Counters], storage: Any
) -> Metrics:
    """Return the metrics of a database: its connections, what earlier ones did, its storage."""
    done = total([*(each.counters for each in connections), *forgotten])
    return Metrics(
        **asdict(done),
        connections_open=sum(each.opened is not None for each in connections),
        connections_resting=sum(each.opened is None for each in connections),
        objects_in_memory=sum(each._cache.cache_non_ghost_count for each in connections),
        storage=MappingProxyType(
            dict(storage.counters()) if capabilities_of(storage).counting else {}
        ),
    )
