"""The workloads by subject; importing this package registers all of them."""

from importlib import import_module

__all__: list[str] = []

for _subject in (
    "objects",
    "trees",
    "commits",
    "storages",
    "checking",
    "readers",
    "writers",
    "blobs",
    "layers",
    "starting",
):
    import_module(f"benchmarks.workloads.{_subject}")  # in the order of the report
