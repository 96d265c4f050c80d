"""What every storage promises, as pytest classes; inherit those that apply.

    from perdure.testing.contract import IterationContract, StorageContract, UndoContract

    class TestMine(StorageContract, IterationContract, UndoContract):
        @pytest.fixture
        def make_storage(self, tmp_path):
            return lambda name: MyStorage(tmp_path / name)

`StorageContract` is for all. By what the storage declares come
`IterationContract`, `UndoContract`, `RestoreContract`, `RecordIterationContract`,
`ReadVerifyingContract`, `ExternalGCContract`, `MeasuredContract`, `BindingContract`,
`BatchContract`, `BlobContract` and `BlobRestoreContract`. Two more go by what it can do
and nobody declares: `ReopenContract`, if it keeps data, and `ReadOnlyContract`, if there is
a read-only way to open it. `suite` says what can be set.

This package needs pytest.
"""

import perdure.testing.contract.rewriting  # noqa: F401  it must come before the suites
from perdure.testing.contract.batching import BatchContract
from perdure.testing.contract.binding import BindingContract
from perdure.testing.contract.blobs import BlobContract, BlobRestoreContract
from perdure.testing.contract.counting import MeasuredContract
from perdure.testing.contract.deleting import ExternalGCContract
from perdure.testing.contract.iteration import IterationContract
from perdure.testing.contract.read_only import ReadOnlyContract
from perdure.testing.contract.record_iteration import RecordIterationContract
from perdure.testing.contract.reopening import ReopenContract
from perdure.testing.contract.restoring import RestoreContract
from perdure.testing.contract.storage import StorageContract
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.undoing import UndoContract
from perdure.testing.contract.verifying import ReadVerifyingContract

__all__ = [
    "BatchContract",
    "BindingContract",
    "BlobContract",
    "BlobRestoreContract",
    "ExternalGCContract",
    "IterationContract",
    "MeasuredContract",
    "ReadOnlyContract",
    "ReadVerifyingContract",
    "RecordIterationContract",
    "ReopenContract",
    "RestoreContract",
    "StorageContract",
    "Suite",
    "UndoContract",
]
