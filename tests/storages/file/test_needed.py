"""What a pack without native code reads in pieces is the same, however large these are."""

import shutil
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from perdure.ids import ZERO, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.file import FileStorage, needed, packcopy
from perdure.testing.contract.records import cell, holder, references
from perdure.testing.contract.transactions import undo, undo_id, write
from samples.file_histories import make_history


def packed(path: Path) -> bytes:
    """Return the bytes of a copy of the file, packed; with references of our own, in Python."""
    copy = path.with_name("copy.fs")
    shutil.copy(path, copy)
    copy.with_name("copy.fs.index").unlink(missing_ok=True)
    with closing(FileStorage(copy, pack_keep_old=False)) as storage:
        storage.pack(4e9, references)
    return copy.read_bytes()


def make_small_and_large(path: Path, seed: int) -> None:
    """Make a file of records of all sizes, which refer to neighbours and to what is far."""
    chance = Random(seed)
    numbers = range(1, 60)
    with closing(FileStorage(path)) as storage:
        write(storage, {ZERO: holder(*map(p64, chance.sample(numbers, 12)))})
        for _ in range(15):
            chosen = chance.sample(numbers, chance.choice([1, 5, 20]))
            metadata = TransactionMetaData()
            storage.tpc_begin(metadata)
            for n in chosen:
                data = cell("x" * chance.choice([1, 90, 700, 3_000]))
                if chance.random() < 0.6:
                    data = holder(p64(n % 59 + 1), p64(chance.choice(numbers)))
                storage.restore(p64(n), ZERO, data, "", None, metadata)
            storage.tpc_vote(metadata)
            storage.tpc_finish(metadata)
            if chance.random() < 0.3:
                undo(storage, undo_id(storage))


@pytest.mark.parametrize("seed", range(6))
def test_a_pack_in_small_pieces_is_the_same(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.fs"
    if seed < 3:
        make_history(path, seed)
    else:
        make_small_and_large(path, seed)
    expected = packed(path)
    monkeypatch.setattr(needed, "_SEGMENT_BITS", 9)
    monkeypatch.setattr(needed, "_READ_AHEAD", 64)
    monkeypatch.setattr(needed, "_READ_MUCH", 333)
    monkeypatch.setattr(packcopy, "_WORTH_A_PIECE", 1)
    monkeypatch.setattr(packcopy, "_PIECES_OF_A_WRITE", 2)
    assert packed(path) == expected
    monkeypatch.setattr(needed, "_NEAR", 0)
    assert packed(path) == expected
