"""Starting: importing the product, opening files, building an index anew."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engines import FILE_NAME, Engine
from benchmarks.filling import copy_filled, fill_file
from benchmarks.workload import Round, Sample, Sizes, Stopwatch, WorkNotDoneError, check, workload

__all__: list[str] = []

FILES = Sizes(small=20_000, large=1_000_000, quick=10_000, tiny=1_000)
OTHERS = 2  # the root and the first record come on top

IMPORT_TIME = """
import time
start = time.perf_counter()
import {package}
imported = time.perf_counter()
from {database} import DB
from {storage} import FileStorage
print(imported - start, time.perf_counter() - start)
"""


@workload("import", "import", Sizes(1, 1, 1, 1))
def import_product(engine: Engine, directory: Path, _size: int) -> Iterator[Round]:
    """Import the product's database and file storage, in a new process.

    `package` is importing the package alone.
    """
    # As installed packages have it: the round that does not count leaves compiled modules.
    compiled = {"PYTHONPYCACHEPREFIX": str(directory / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}

    def once() -> dict[str, Sample]:
        database, storage = engine.places["DB"], engine.places["FileStorage"]
        package = database.partition(".")[0]
        code = IMPORT_TIME.format(package=package, database=database, storage=storage)
        output = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            cwd=directory,
            env={**os.environ, **compiled},
        ).stdout
        imported, ready = map(float, output.split())
        return {"": Sample(ready, 1), "package": Sample(imported, 1)}

    yield once


def check_count(storage: Any, size: int) -> None:
    check("objects", len(storage), size + OTHERS)


@workload("open", "open", FILES, most_rounds=5)
def open_file(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Open a file of SIZE objects that was closed properly."""
    fill_file(engine, directory, size).close()

    def once() -> dict[str, Sample]:
        with Stopwatch() as watch:
            storage = engine.storage(directory)
        check_count(storage, size)
        storage.close()
        return {"": watch.sample(1)}

    yield once


@workload("open-killed", "open", FILES, most_rounds=5)
def open_killed(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Open a file of SIZE objects whose writer was killed after the last commit."""
    killed = directory / "killed"
    killed.mkdir()
    command = [sys.executable, "-m", "benchmarks.filling", engine.name, str(killed), str(size)]
    filling = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    if filling.returncode != -signal.SIGKILL:
        raise WorkNotDoneError(f"filling the file ended with {filling.returncode}")

    def once() -> dict[str, Sample]:
        # Closing saves the index, so every round opens a copy of what the kill left.
        copy = directory / "copy"
        copy_filled(killed, copy)
        try:
            with Stopwatch() as watch:
                storage = engine.storage(copy)
            check_count(storage, size)
            storage.close()
        finally:
            shutil.rmtree(copy)
        return {"": watch.sample(1)}

    yield once


@workload("index-rebuild", "object", FILES, most_rounds=3)
def index_rebuild(engine: Engine, directory: Path, size: int) -> Iterator[Round]:
    """Open a file of SIZE objects whose index is gone, so that it is scanned."""
    fill_file(engine, directory, size).close()

    def once() -> dict[str, Sample]:
        for path in directory.iterdir():
            if path.name != FILE_NAME:
                path.unlink()
        with Stopwatch() as watch:
            storage = engine.storage(directory)
        check_count(storage, size)
        storage.close()
        return {"": watch.sample(size)}

    yield once
