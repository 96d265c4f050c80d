"""Dictionaries for zstd: told how far training is, and files that are never written over."""

from pathlib import Path

import pytest

from perdure.ids import p64
from perdure.storages import MappingStorage, train_dictionary
from perdure.storages.dictionaries import read_dictionary, write_dictionary
from samples.transactions import write


def test_training_tells_how_many_records_it_passed() -> None:
    pytest.importorskip("zstandard", reason="zstd takes the extra `compress`")
    storage = MappingStorage()
    write(storage, {p64(n): b"N." + b"record number %d of many" % n + b"." for n in range(2_500)})
    told: list[tuple[int, int]] = []
    train_dictionary(storage, 1024, lambda done, total: told.append((done, total)))
    assert told == [(1_000, 2_500), (2_000, 2_500)]


def test_a_dictionary_that_is_written_can_be_read(tmp_path: Path) -> None:
    write_dictionary(tmp_path / "new.dict", b"content")
    assert read_dictionary(tmp_path / "new.dict") == b"content"


def test_a_dictionary_is_never_written_over(tmp_path: Path) -> None:
    write_dictionary(tmp_path / "new.dict", b"needed")
    with pytest.raises(FileExistsError):
        write_dictionary(tmp_path / "new.dict", b"another")
    assert read_dictionary(tmp_path / "new.dict") == b"needed"


def test_a_part_of_a_dictionary_is_not_left(tmp_path: Path) -> None:
    no_bytes = "text"
    with pytest.raises(TypeError):
        write_dictionary(tmp_path / "new.dict", no_bytes)  # type: ignore[arg-type]  it fails then
    assert not (tmp_path / "new.dict").exists()
