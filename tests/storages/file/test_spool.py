import errno
import gc
import os
from pathlib import Path

import pytest

from perdure.errors import FileAccessError
from perdure.storages.file.spool import Spool


def test_records_come_back_from_a_file_that_nobody_sees(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.empty
    data = [os.urandom(size) for size in (1, 100_000, 7)]
    records = [spool.keep(one) for one in data]
    assert not spool.empty
    assert list(tmp_path.iterdir()) == []
    assert [record.read() for record in records] == data
    assert list(map(len, records)) == [1, 100_000, 7]


def test_a_record_outlives_its_spool_and_the_file_nobody(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    record = spool.keep(b"data")
    descriptor = record._file.descriptor
    del spool
    assert record.read() == b"data"
    del record
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    full = os.open("/dev/full", os.O_RDWR)
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (full, str(tmp_path / "x")))
    (tmp_path / "x").touch()
    with pytest.raises(FileAccessError, match="No space left on device") as caught:
        spool.keep(b"data")
    assert caught.value.errno == errno.ENOSPC


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file or directory"):
        Spool(tmp_path / "nowhere").keep(b"data")
