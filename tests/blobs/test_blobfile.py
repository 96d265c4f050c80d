"""Open files of blobs."""

import copy
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from perdure.blobs import BlobFile


class Opened:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def closed(self, f: BlobFile) -> None:
        self.seen.append(f)


def test_closing_a_file_tells_the_blob(tmp_path: Path) -> None:
    blob = Opened()
    file = BlobFile(str(tmp_path / "file"), "w", blob)
    assert file.blob is blob

    file.close()

    assert blob.seen == [file]


def test_a_file_that_cannot_be_opened_tells_nobody(tmp_path: Path) -> None:
    blob = Opened()
    with pytest.raises(FileNotFoundError):
        BlobFile(str(tmp_path / "missing"), "r", blob)
    assert blob.seen == []


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_writing_writes_all_that_it_is_given(tmp_path: Path, data: Any) -> None:
    with BlobFile(str(tmp_path / "file"), "w", Opened()) as file:
        assert file.write(data) == 5
        assert file.write(b"") == 0
    assert (tmp_path / "file").read_bytes() == b"bytes"


def test_writing_goes_on_where_the_system_takes_only_a_part() -> None:
    # A pipe takes what fits; a file larger than 2 GiB would do the same.
    reading, writing = os.pipe()
    os.set_blocking(writing, True)
    content = os.urandom(200_000)
    received = bytearray()

    def read() -> None:
        while piece := os.read(reading, 65536):
            received.extend(piece)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    with BlobFile(f"/dev/fd/{writing}", "w", Opened()) as file:
        assert file.write(content) == len(content)
    os.close(writing)
    thread.join(30)
    os.close(reading)
    assert bytes(received) == content


def test_a_file_cannot_be_pickled(tmp_path: Path) -> None:
    with BlobFile(str(tmp_path / "file"), "w", Opened()) as file:
        for attempt in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                attempt(file)


def test_much_data_arrives_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pieces = [bytes([number]) * 700_000 for number in range(20)]
    with BlobFile(str(path), "w", Opened()) as file:
        for piece in pieces:
            assert file.write(piece) == len(piece)
        file.seek(5)
        file.write(b"!" * 5_000_000)
        assert file.tell() == 5_000_005
        file.seek(0, os.SEEK_END)
        file.write(b"?" * 9_000_000)
    whole = bytearray(b"".join(pieces) + b"?" * 9_000_000)
    whole[5:5_000_005] = b"!" * 5_000_000
    assert path.read_bytes() == whole
