from pathlib import Path

import pytest

from perdure.errors import BackupError
from perdure.ids import p64
from perdure.tools import BackedUpBlob, Manifest

MANIFEST = Manifest(
    number=2,
    follows=1,
    reason="",
    source="/data/app.fs",
    made="2026-11-01T12:00:00+00:00",
    data="000002.part.gz",
    compressed=True,
    start=4,
    end=100,
    sha256="ab" * 32,
    last_tid=b"\x04" + bytes(7),
    edge_sha256="cd" * 32,
    blob_layout="bushy",
    blobs=(BackedUpBlob(p64(26), b"\x04" + bytes(7), 12, "ef" * 32),),
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.unpack(MANIFEST.pack(), Path("000002.json")) == MANIFEST


def test_any_other_version_is_named() -> None:
    text = MANIFEST.pack().replace(b"perdure backup 1", b"perdure backup 2")
    with pytest.raises(BackupError, match="changed bytes"):
        Manifest.unpack(text, Path("000002.json"))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"format": 1}'])
def test_what_is_no_manifest_is_named(text: bytes) -> None:
    with pytest.raises(BackupError, match=r"000002\.json: found no manifest"):
        Manifest.unpack(text, Path("000002.json"))
