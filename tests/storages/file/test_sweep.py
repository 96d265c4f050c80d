"""Native code takes in what the pure functions take in: of sound files, and of damaged ones."""

from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import native
from perdure.errors import StorageError
from perdure.fileops import FileOperations
from perdure.storages.file import FileStorage, loading
from perdure.storages.file.loading import load_view
from perdure.storages.file.openfile import open_data_file
from perdure.testing.contract.records import cell
from perdure.testing.contract.transactions import write
from samples.file_histories import damage, make_history

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(not native.filescan, reason="native code is not in use"),
]


def loaded(path: Path, stop: bytes | None = None, progress: Any = None) -> Any:
    """Return what is found in a data file without the help of its index."""
    file = open_data_file(FileOperations(), path, read_only=True, create=False)
    try:
        found = load_view(file, stop, progress)
    except StorageError as error:
        return str(error)
    view = found.view
    return [*view.index.items()], view.end, view.last_tid, found.durable, found.torn


def agrees(path: Path, monkeypatch: pytest.MonkeyPatch, stop: bytes | None = None) -> bool:
    """Check that both ways find the same; return whether that was something."""
    path.with_name(path.name + ".index").unlink(missing_ok=True)
    natively = loaded(path, stop)
    with monkeypatch.context() as patch:
        patch.setattr(native, "filescan", None)
        assert natively == loaded(path, stop)
    return bool(natively[0])


@pytest.mark.parametrize("seed", range(8))
def test_both_make_the_same_index(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.fs"
    make_history(path, seed)
    assert agrees(path, monkeypatch)
    with closing(FileStorage(path, read_only=True)) as storage:
        tids = [transaction.tid for transaction in storage.iterator()]
    for tid in tids:
        agrees(path, monkeypatch, tid)


@pytest.mark.parametrize("seed", range(4))
def test_both_find_the_same_in_damaged_files(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.fs"
    make_history(path, seed, count=12)
    sound, random = path.read_bytes(), Random(seed)
    for _ in range(100):
        path.write_bytes(damage(random, sound))
        agrees(path, monkeypatch)


@pytest.mark.slow
def test_both_find_the_same_in_thousands_of_damaged_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.fs"
    for seed in range(100, 130):
        path.unlink(missing_ok=True)
        make_history(path, seed, count=20)
        sound, random = path.read_bytes(), Random(seed)
        for _ in range(1000):
            path.write_bytes(damage(random, sound))
            agrees(path, monkeypatch)


def test_the_progress_of_a_long_sweep_is_told_and_can_end_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.fs"
    with closing(FileStorage(path)) as storage:
        for number in range(1, 25):
            write(storage, {number.to_bytes(8, "big"): cell("x" * (1 << 20))})
    path.with_name("data.fs.index").unlink()
    told: list[tuple[int, int]] = []
    loaded(path, None, lambda done, total: told.append((done, total)))
    assert len(told) == 2
    assert all(0 < done < total for done, total in told)

    caplog.set_level("INFO", "perdure")
    loaded(path)
    assert caplog.text == ""  # it was quick
    monkeypatch.setattr(loading, "_FIRST_LOG_LINE_AFTER_S", 0.0)
    loaded(path)
    assert "rebuilding its index, 8 of 24 MB scanned" in caplog.text
    assert caplog.text.count("\n") == 1  # the next line is due later

    def enough(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loaded(path, None, enough)
