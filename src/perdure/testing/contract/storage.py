"""The suite that every storage runs, whatever else it can do."""

from perdure.testing.contract.concurrency import ConcurrencyContract
from perdure.testing.contract.conflicts import ConflictContract
from perdure.testing.contract.lifecycle import LifecycleContract
from perdure.testing.contract.packing import PackContract
from perdure.testing.contract.reading import ReadingContract
from perdure.testing.contract.two_phase import TwoPhaseContract

__all__ = ["StorageContract"]


class StorageContract(
    TwoPhaseContract,
    ReadingContract,
    ConflictContract,
    PackContract,
    ConcurrencyContract,
    LifecycleContract,
):
    """What `perdure.interfaces.Storage` promises."""
