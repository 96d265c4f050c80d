"""What an open storage keeps in memory: ``python -m benchmarks.memory``.

For each engine, a file is filled, and opened in a new process that has opened a
small one before; the figure is by how much the process grew, per object. ``--inside``
is what such a process does.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.engines import ENGINES, NATIVE, PEER, PURE, Engine
from benchmarks.filling import fill_file

__all__ = ["main"]

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Measure, and print a line for each engine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument("--inside", nargs=2, metavar=("ENGINE", "DIRECTORY"), help="not for you")
    options = parser.parse_args()
    if options.inside:
        name, directory = options.inside
        print(_growth_bytes(ENGINES[name], Path(directory)))
        return
    print(f"{'engine':14} bytes per object of {options.objects:,}")
    for name in (PEER, NATIVE, PURE):
        with tempfile.TemporaryDirectory(prefix="perdure-") as place:
            bytes_each = _measured(ENGINES[name], Path(place), options.objects)
            print(f"{name:14} {bytes_each:.1f}", flush=True)


def _measured(engine: Engine, place: Path, count: int) -> float:
    for directory, objects in (("warm", 10), ("full", count)):
        (place / directory).mkdir()
        fill_file(engine, place / directory, objects).close()
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "--inside", engine.name, str(place)],
        env={**os.environ, **engine.environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    return int(output) / count


def _growth_bytes(engine: Engine, place: Path) -> int:
    """Return by how much the memory of this process grows when the full file is opened."""
    warm = engine.storage(place / "warm")
    gc.collect()
    before = _resident_bytes()
    full = engine.storage(place / "full")
    gc.collect()
    growth = _resident_bytes() - before
    full.close()
    warm.close()
    return growth


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
