import os
import sys
from pathlib import Path

import pytest

from perdure import native
from perdure.storages.file import naming
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.naming import names_file


@pytest.fixture(params=["statx", "stat"])
def _asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = naming._stat if request.param == "stat" else naming._statx()
    if ask is None:
        pytest.skip("this system has no statx")
    monkeypatch.setattr(naming, "_ask", ask)


@pytest.mark.usefixtures("_asked")
def test_it_tells_which_file_a_path_stands_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    held = path.stat()
    identity = held.st_dev, held.st_ino
    assert names_file(os.fsencode(path), *identity)
    assert not names_file(os.fsencode(tmp_path), *identity)
    assert not names_file(os.fsencode(path), held.st_dev + 1, held.st_ino)
    assert not names_file(os.fsencode(path), held.st_dev, held.st_ino + 1)
    (tmp_path / "link").symlink_to(path)
    assert names_file(os.fsencode(tmp_path / "link"), *identity)
    path.rename(tmp_path / "other")
    assert not names_file(os.fsencode(path), *identity)
    assert not names_file(os.fsencode(tmp_path / "link"), *identity)
    path.write_bytes(b"")
    assert not names_file(os.fsencode(path), *identity)
    with pytest.raises(NotADirectoryError, match="beneath"):
        names_file(os.fsencode(path / "beneath"), *identity)


@pytest.mark.skipif(sys.platform != "linux", reason="statx is a call of Linux")
def test_linux_is_not_asked_for_times() -> None:
    assert naming._statx() is not None
    assert (naming._ask is naming._stat) == bool(native.courtesy)


def test_a_file_knows_its_size_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    file = DataFile(path, os.open(path, os.O_RDWR))
    assert file.size() == 5
    os.pwrite(file.descriptor, b"678", 5)
    assert file.size() == 8
    assert file.read(1, 3) == b"234"
    assert file.is_at_its_path()
    path.unlink()
    assert not file.is_at_its_path()
    assert file.size() == 8
