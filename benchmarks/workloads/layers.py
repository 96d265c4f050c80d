"""Layers over a file storage: records compressed on their way down, and turned back."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine
from benchmarks.objects import Record
from benchmarks.workload import NotAvailableError, Round, Sample, Sizes, Stopwatch, check, workload

__all__: list[str] = []

_ZERO = b"\0" * 8
_LATEST = b"\x7f" + b"\xff" * 7
_SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "so", "tu")
_WORDS = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]

_SIZES = Sizes(small=2_000, large=20_000, quick=1_000, tiny=20)


@workload("zlib", "record", _SIZES)
def zlib(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Store SIZE records of 500 bytes in one transaction through zlib, then load each; ZODB: zc."""
    yield _rounds(engine, directory, size, lambda: _layer(engine, directory, "zlib"))


@workload("zstd", "record", _SIZES)
def zstd(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """The same through zstd, where ZODB has zlib."""
    yield _rounds(engine, directory, size, lambda: _layer(engine, directory, "zstd"))


def _layer(engine: Engine, directory: Path, method: str) -> Any:
    try:
        if engine.name == "zodb":
            from zc.zlibstorage import ZlibStorage

            return ZlibStorage(engine.storage(directory))
        from perdure.storages import compressed

        return compressed(engine.storage(directory), method)
    except ImportError as error:
        raise NotAvailableError(str(error)) from error


def _rounds(engine: Engine, directory: Path, size: int, layer: Callable[[], Any]) -> Round:
    choose = random.Random(size)
    head = f"\x80\x03c{Record.__module__}\n{Record.__qualname__}\nq\0.".encode("latin-1")
    records = [
        head + b"%06d " % number + " ".join(choose.choices(_WORDS, k=70)).encode()
        for number in range(size)
    ]
    state = {"first": 1}

    def once() -> dict[str, Sample]:
        storage = layer()
        oids = [
            number.to_bytes(8, "big") for number in range(state["first"], state["first"] + size)
        ]
        state["first"] += size
        metadata = engine.get("TransactionMetaData")()
        with Stopwatch() as storing:
            storage.tpc_begin(metadata)
            for oid, record in zip(oids, records, strict=True):
                storage.store(oid, _ZERO, record, "", metadata)
            storage.tpc_vote(metadata)
            storage.tpc_finish(metadata)
        with Stopwatch() as loading:
            loaded = [storage.loadBefore(oid, _LATEST)[0] for oid in oids]
        storage.close()
        check("records", loaded, records)
        return {"store": storing.sample(size), "load": loading.sample(size)}

    return once
