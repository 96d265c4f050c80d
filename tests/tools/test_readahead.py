"""Reading a file ahead of who looks at it."""

import os
import threading
from pathlib import Path

import pytest

from perdure.storages.file.datafile import DataFile
from perdure.tools.readahead import AHEAD_BYTES, PIECE_BYTES, ReadAhead

SIZE = AHEAD_BYTES + 8 * PIECE_BYTES


class Watched(DataFile):
    """A file that remembers how far it was read, and can be waited for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, os.open(path, os.O_RDONLY))
        self.read_to = 0
        self.moved = threading.Condition()

    def read(self, position: int, size: int) -> bytes:
        data = super().read(position, size)
        with self.moved:
            self.read_to = position + size
            self.moved.notify_all()
        return data

    def wait_until_read(self, position: int) -> bool:
        with self.moved:
            return self.moved.wait_for(lambda: self.read_to >= position, timeout=30)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    path = tmp_path / "data.fs"
    with path.open("wb") as made:
        made.truncate(SIZE)  # a hole, which costs nothing
    return Watched(path)


def test_a_file_is_read_ahead_but_not_too_far(watched: Watched) -> None:
    with ReadAhead(watched, SIZE) as ahead:
        assert watched.wait_until_read(AHEAD_BYTES)
        assert watched.read_to < AHEAD_BYTES + PIECE_BYTES
        ahead.reached(3 * PIECE_BYTES)
        assert watched.wait_until_read(AHEAD_BYTES + 3 * PIECE_BYTES)


def test_what_was_looked_at_already_is_not_read(watched: Watched) -> None:
    with ReadAhead(watched, SIZE) as ahead:
        assert watched.wait_until_read(AHEAD_BYTES)
        ahead.reached(SIZE)
    assert watched.read_to <= AHEAD_BYTES + PIECE_BYTES


def test_reading_ends_with_the_block(watched: Watched) -> None:
    before = set(threading.enumerate())
    with ReadAhead(watched, SIZE):
        assert set(threading.enumerate()) != before
    assert set(threading.enumerate()) == before


def test_a_disk_that_refuses_is_left_to_who_looks_at_the_file(tmp_path: Path) -> None:
    directory = DataFile(tmp_path, os.open(tmp_path, os.O_RDONLY))  # cannot be read
    with ReadAhead(directory, SIZE) as ahead:
        ahead.reached(PIECE_BYTES)
