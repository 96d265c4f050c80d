import gzip
import hashlib
from pathlib import Path

import pytest

from perdure.errors import BackupError
from perdure.fileops import FileOperations
from perdure.tools.backup.pieces import PIECE_BYTES, Piece, read_piece, store


def piece(path: Path, content: bytes, compressed: bool = True) -> Piece:
    digest = hashlib.sha256(content).hexdigest()
    return Piece(path, 0, len(content), "sha256", digest, compressed)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 5])
@pytest.mark.parametrize("compress", [False, True])
def test_what_was_stored_is_read_back(tmp_path: Path, size: int, compress: bool) -> None:
    content = (b"abcdefgh" * (size // 8 + 1))[:size]
    chunks = [content[at : at + PIECE_BYTES] for at in range(0, size, PIECE_BYTES)]
    found = store(FileOperations(), tmp_path / "piece", iter(chunks), compress)
    assert found == (size, hashlib.sha256(content).hexdigest())
    told: list[int] = []
    read = list(read_piece(piece(tmp_path / "piece", content, compress), told.append))
    assert b"".join(read) == content
    assert sum(told) == size
    assert all(len(chunk) <= PIECE_BYTES for chunk in read)


def test_what_gzip_wrote_in_parts_is_read(tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(gzip.compress(b"one") + gzip.compress(b"two"))
    assert b"".join(read_piece(piece(tmp_path / "piece", b"onetwo"))) == b"onetwo"


def test_what_stands_behind_the_end_is_damage(tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(gzip.compress(b"one") + b"\0more")
    with pytest.raises(BackupError, match="piece: found bytes that gzip refuses"):
        list(read_piece(piece(tmp_path / "piece", b"one")))


def test_other_content_is_damage(tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(b"one")
    with pytest.raises(BackupError, match="sha256"):
        list(read_piece(piece(tmp_path / "piece", b"two", compressed=False)))
    with pytest.raises(BackupError, match="found 3 bytes of data, expected 4"):
        list(read_piece(piece(tmp_path / "piece", b"four", compressed=False)))
