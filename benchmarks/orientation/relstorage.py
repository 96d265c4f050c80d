"""RelStorage on SQLite: ZODB's objects, in the tables of a SQL database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from relstorage.adapters.sqlite.adapter import Sqlite3Adapter
from relstorage.options import Options
from relstorage.storage import RelStorage

from benchmarks.engines import ENGINES, PEER, Engine
from benchmarks.workload import WORKLOADS, Prepare, Round

__all__ = ["PREPARES"]


def _storage(directory: Path) -> Any:
    options = Options(keep_history=True)  # as a file storage does
    # Its default is to leave syncs to the system; here a commit is on the disk, as with the others.
    adapter = Sqlite3Adapter(str(directory), {"synchronous": "full"}, options)
    return RelStorage(adapter, options=options)


def _prepare(name: str) -> Prepare:
    @contextmanager
    def prepare(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        engine = replace(ENGINES[PEER], name="relstorage", open_storage=_storage)
        with WORKLOADS[name].prepare(engine, directory, size) as once:
            yield once

    return prepare


PREPARES: Final[dict[str, Prepare]] = {name: _prepare(name) for name in ("add", "read-cold")}
