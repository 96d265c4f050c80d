"""What the figures were measured on, as values to print beside them."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.syncs import sync_cost_s

__all__ = ["describe"]

PACKAGES = ("ZODB", "perdure", "persistent", "BTrees", "transaction")


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


def describe(directory: Path) -> dict[str, str]:
    """Return facts about the machine, by name; `directory` is on the disk that is used.

    The load is that of before the run: much more than 0 means that others were at work.
    """
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load before": _load(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        **{package: _version(package) for package in PACKAGES},
        "sync of 4 KiB": f"{sync_cost_s(directory) * 1e6:.0f} µs",
    }
