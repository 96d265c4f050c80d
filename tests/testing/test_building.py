"""Prepared data in a file, built once."""

import threading
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.testing import build_file


def fill(connection: Any) -> None:
    connection.root.blob = blob = perdure.Blob()
    with blob.open("w") as file:
        file.write(b"a picture")


def read(address: str) -> bytes:
    db = perdure.open(address, read_only=True)
    try:
        with db.transaction() as connection, connection.root.blob.open() as file:
            content: bytes = file.read()
            return content
    finally:
        db.close()


def test_a_file_is_built_with_its_blobs_and_index(tmp_path: Path) -> None:
    address = build_file(tmp_path / "deep" / "a b%?.fs", fill)
    assert read(address) == b"a picture"
    names = {path.name for path in (tmp_path / "deep").iterdir()} - {"a b%?.fs.lock"}
    assert names == {"a b%?.fs", "a b%?.fs.index", "a b%?.fs.blobs", "a b%?.fs.building"}


def test_a_file_that_is_there_is_not_built_again(tmp_path: Path) -> None:
    first = build_file(tmp_path / "base.fs", fill)
    assert build_file(tmp_path / "base.fs", lambda connection: 1 / 0) == first


def test_a_fill_that_fails_leaves_no_file_and_the_next_one_builds_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        build_file(tmp_path / "base.fs", lambda connection: 1 / 0)
    assert [path.name for path in tmp_path.iterdir()] == ["base.fs.building"]
    assert read(build_file(tmp_path / "base.fs", fill)) == b"a picture"


def test_what_a_killed_build_left_is_built_anew(tmp_path: Path) -> None:
    place = tmp_path / "base.fs.unfinished"
    place.mkdir()
    (place / "base.fs").write_bytes(b"half")
    (tmp_path / "base.fs.blobs" / "half").mkdir(parents=True)
    assert read(build_file(tmp_path / "base.fs", fill)) == b"a picture"
    assert not place.exists()


def test_of_many_who_ask_at_once_one_builds(tmp_path: Path) -> None:
    built = []
    together = threading.Barrier(4, timeout=30)

    def ask() -> None:
        together.wait()
        build_file(tmp_path / "base.fs", lambda connection: built.append(fill(connection)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(built) == 1
