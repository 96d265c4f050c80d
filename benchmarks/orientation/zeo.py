"""ZEO: ZODB's objects in a file storage, behind a server on this machine.

The server has a process of its own. A client begins with an empty cache.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ZEO
from ZEO.ClientStorage import ClientStorage

from benchmarks.engines import ENGINES, FILE_NAME, PEER, Engine
from benchmarks.workload import WORKLOADS, Prepare, Round

__all__ = ["PREPARES"]

WAIT_S = 30


def _prepare(name: str) -> Prepare:
    @contextmanager
    def prepare(_engine: Engine, directory: Path, size: int) -> Iterator[Round]:
        address, stop = ZEO.server(path=str(directory / FILE_NAME), threaded=False)

        def storage(_directory: Path) -> Any:
            return ClientStorage(address, wait_timeout=WAIT_S)

        try:
            engine = replace(ENGINES[PEER], name="zeo", open_storage=storage)
            with WORKLOADS[name].prepare(engine, directory, size) as once:
                yield once
        finally:
            stop()

    return prepare


PREPARES: Final[dict[str, Prepare]] = {name: _prepare(name) for name in ("add", "read-cold")}
