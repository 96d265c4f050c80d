import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ZODB.FileStorage
from zc.lockfile import LockError

from perdure.errors import FileLockedError
from perdure.storages.file import FileStorage
from perdure.storages.file.lock import FileLock

HOLD = """
import sys
from perdure.storages.file import FileStorage
storage = FileStorage(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
storage.close()
"""


def test_a_second_storage_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    storage = FileStorage(path)
    with pytest.raises(FileLockedError) as caught:
        FileStorage(path)
    text = str(caught.value)
    assert text.startswith(f"{path} is open for writing by this process, pid {os.getpid()} since 2")
    assert text.endswith(" UTC; close it there, or open it with read_only=True")

    storage.close()
    FileStorage(path).close()


def test_another_process_is_named_by_its_pid(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(FileLockedError, match=f"the process with pid {holder.pid} since"):
            FileStorage(path)
        FileStorage(path, read_only=True).close()
        holder.stdin.close()
    FileStorage(path).close()


def test_zodb_and_perdure_keep_each_other_out(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    storage = FileStorage(path)
    with pytest.raises(LockError):
        ZODB.FileStorage.FileStorage(str(path))
    storage.close()

    theirs = ZODB.FileStorage.FileStorage(str(path))
    with pytest.raises(FileLockedError, match=f"pid {os.getpid()};"):
        FileStorage(path)
    theirs.close()


def test_a_lock_whose_holder_cannot_be_written_down_holds_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int, text: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "data.fs"
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        lock = FileLock(path)
    assert "cannot say who holds it" in caplog.text
    with pytest.raises(FileLockedError):
        FileLock(path)
    lock.release()


def test_nothing_is_left_of_what_an_earlier_holder_wrote(tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    path.with_name("data.fs.lock").write_text(" 1 since long ago, in many words" * 9)
    lock = FileLock(path)
    text = lock.path.read_text()
    assert text.startswith(f" {os.getpid()} since ")
    assert text.endswith(" UTC\n")
    lock.release()


@pytest.mark.parametrize("content", ["", "nonsense", "\xff"])
def test_a_lock_file_that_says_nothing_is_another_process(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data.fs"
    lock = FileLock(path)
    lock.path.write_text(content, encoding="latin-1")
    with pytest.raises(FileLockedError, match="by another process"):
        FileLock(path)
    lock.release()
