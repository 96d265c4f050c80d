"""A pack by native code leaves the same file, byte for byte, as one without it."""

import itertools
import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest

from perdure import native
from perdure.clock import time_of
from perdure.errors import PackCancelledError, StateLoadError, StorageError
from perdure.ids import ZERO, p64
from perdure.records import references
from perdure.storages.file import FileStorage
from perdure.testing.contract.records import cell, holder
from perdure.testing.contract.transactions import transactions, write
from samples.file_histories import make_history

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(not native.filescan, reason="native code is not in use"),
]


def packed(path: Path, time_s: float, gc: bool) -> tuple[bytes, object]:
    """Return the bytes of a copy of the file, packed, and what was estimated."""
    copy = path.with_name("copy.fs")
    shutil.copy(path, copy)
    copy.with_name("copy.fs.index").unlink(missing_ok=True)
    with closing(FileStorage(copy, pack_keep_old=False)) as storage:
        estimate = storage.pack_estimate(time_s, references, gc=gc)
        storage.pack(time_s, references, gc=gc)
    return copy.read_bytes(), estimate


@pytest.mark.parametrize(("seed", "gc"), [*itertools.product(range(12), (True, False))])
def test_both_packs_leave_the_same_bytes(
    seed: int, gc: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.fs"
    make_history(path, seed, packs=seed % 3 == 0)
    with closing(FileStorage(path, read_only=True)) as storage:
        tids = [transaction.tid for transaction in storage.iterator()]
    times = [4e9, *(time_of(tid) + 1e-5 for tid in tids[:: max(len(tids) // 3, 1)])]
    natively = [packed(path, time_s, gc) for time_s in times]
    monkeypatch.setattr(native, "filescan", None)
    assert natively == [packed(path, time_s, gc) for time_s in times]


def test_a_file_without_a_root_is_not_packed(tmp_path: Path) -> None:
    with closing(FileStorage(tmp_path / "data.fs")) as storage:
        write(storage, {p64(1): cell(1)})
        with pytest.raises(StorageError, match="there is no root object"):
            storage.pack(4e9, references)


def test_a_record_that_cannot_be_read_stops_a_collection_and_nothing_else(tmp_path: Path) -> None:
    with closing(FileStorage(tmp_path / "data.fs")) as storage:
        write(storage, {ZERO: holder(p64(1)), p64(1): b"no pickle"})
        write(storage, {ZERO: holder(p64(1), p64(2))})
        before = transactions(storage)
        with pytest.raises(StateLoadError):
            storage.pack(4e9, references)
        assert transactions(storage) == before
        storage.pack(4e9, references, gc=False)
        assert storage.load(p64(1)).data == b"no pickle"


def test_a_pack_can_be_cancelled_while_it_marks(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    make_history(path, 5)
    before = path.read_bytes()
    cancel = threading.Event()
    cancel.set()
    with closing(FileStorage(path)) as storage, pytest.raises(PackCancelledError):
        storage.pack(4e9, references, cancel=cancel)
    assert path.read_bytes() == before
