"""What a transaction's plan reads of the file, where the system does not let it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import FileAccessError
from perdure.ids import p64
from perdure.storages.file import FileStorage
from perdure.storages.file.committed import CommittedRecords
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.groups import CommitQueue
from perdure.storages.file.reader import View
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from samples.file_operations import Unsynced

A = p64(1)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    storage = FileStorage(tmp_path / "data.fs", operations=Unsynced())
    write(storage, {A: cell(1)})
    yield storage
    storage.close()


def test_what_the_system_does_not_let_us_read_is_named(
    storage: FileStorage, tmp_path: Path
) -> None:
    view = storage._opened()
    directory = os.open(tmp_path, os.O_RDONLY)  # reading it fails with EISDIR
    broken = View(DataFile(view.file.path, directory), view.index, view.end, view.last_tid)
    queue = CommitQueue(view.end, lambda: None, lambda written: None, lambda error: error)
    records = CommittedRecords(broken, queue)
    position = view.index.get(A)
    for read in (lambda: records.newest(A), lambda: records.origin(A, position)):
        with pytest.raises(FileAccessError, match=f"read it at byte {position}") as caught:
            read()
        assert caught.value.errno == errno.EISDIR
