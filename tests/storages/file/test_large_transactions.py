"""Transactions of many records that are larger than the window through which files are scanned."""

from pathlib import Path

import pytest

import perdure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "large.fs"
    with perdure.DB(path) as db:
        with db.transaction() as connection:
            connection.root.parts = [
                perdure.PersistentMapping({"number": number, "filling": "x" * 20_000})
                for number in range(150)
            ]
        with db.transaction() as connection:
            connection.root.more = True
    return path


def numbers(path: Path) -> list[int]:
    with perdure.DB(path) as db, db.transaction() as connection:
        return [part["number"] for part in connection.root.parts]


def test_a_large_transaction_is_packed(path: Path) -> None:
    with perdure.DB(path) as db:
        db.pack()
    assert numbers(path) == list(range(150))


def test_a_large_transaction_is_indexed_again(path: Path) -> None:
    path.with_name("large.fs.index").unlink()
    assert numbers(path) == list(range(150))
