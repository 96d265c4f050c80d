"""What the figures were measured on, as values to print beside them."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.engines import ENGINES, NATIVE
from benchmarks.syncs import sync_cost_s

__all__ = ["describe"]

PACKAGES = ("ZODB", "perdure", "persistent", "BTrees", "transaction")

NATIVE_PROBLEMS = """
from perdure.native import native_problems
print(", ".join(f"{name} {why}" for name, why in native_problems().items() if why))
"""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"{os.getloadavg()[0]:.1f}"


def _native() -> str:
    """Return what is not in use; asked in another process, so that Perdure is not imported here."""
    environment = {**os.environ, **ENGINES[NATIVE].environment}
    done = subprocess.run(
        [sys.executable, "-c", NATIVE_PROBLEMS],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "unknown" if done.returncode else done.stdout.strip() or "all of it"


def describe(directory: Path) -> dict[str, str]:
    """Return facts about the machine, by name; `directory` is on the disk that is used.

    The load is that of before the run: much more than 0 means that others were at work.
    """
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load before": _load(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        **{package: _version(package) for package in PACKAGES},
        "native code": _native(),
        "sync of 4 KiB": f"{sync_cost_s(directory) * 1e6:.0f} µs",
    }
