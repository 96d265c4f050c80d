"""The export format: golden bytes, damage, blobs, and exports that ZODB made."""

import io
from typing import Any

import pytest
import transaction
import ZODB
import ZODB.FileStorage
from ZODB.blob import Blob

from perdure.errors import ExportError
from perdure.ids import p64
from perdure.records import (
    EXPORT_END,
    EXPORT_MAGIC,
    ExportedRecord,
    blob_start,
    exported,
    is_blob,
    records_in_export,
    references,
)
from samples.records_jar import Jar
from samples.records_objects import Node

BLOB = b"\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."


def records_of(data: bytes) -> list[ExportedRecord]:
    source = io.BytesIO(data)
    assert source.read(4) == EXPORT_MAGIC
    return list(records_in_export(source.read))


def test_an_export_has_its_golden_bytes() -> None:
    data = EXPORT_MAGIC + exported(p64(26), b"record") + EXPORT_END
    assert data == (
        b"ZEXP\x00\x00\x00\x00\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00\x06record" + b"\xff" * 16
    )
    assert blob_start(5) == b"\0BLOBSTART\0\0\0\0\0\0\0\x05"


def test_records_come_out_as_they_went_in() -> None:
    records = [ExportedRecord(p64(n), bytes([n]) * n) for n in range(5)]
    data = EXPORT_MAGIC + b"".join(exported(record.oid, record.data) for record in records)
    assert records_of(data + EXPORT_END + b"whatever follows") == records
    assert records_of(EXPORT_MAGIC + EXPORT_END) == []


def test_a_blob_is_left_to_whoever_iterates() -> None:
    source = io.BytesIO(
        exported(p64(1), BLOB) + blob_start(5) + b"bytes" + exported(p64(2), b"next") + EXPORT_END
    )
    records = records_in_export(source.read)
    first = next(records)
    assert first.blob_size_bytes == 5
    assert source.read(5) == b"bytes"
    assert list(records) == [ExportedRecord(p64(2), b"next")]


def test_a_blob_that_was_exported_without_its_bytes_is_read() -> None:
    data = EXPORT_MAGIC + exported(p64(1), BLOB) + exported(p64(2), BLOB) + EXPORT_END
    assert records_of(data) == [ExportedRecord(p64(1), BLOB), ExportedRecord(p64(2), BLOB)]


def test_the_record_of_a_blob_is_known_by_its_class() -> None:
    assert is_blob(BLOB)
    assert not is_blob(Jar().store(Node(blob=b"cZODB.blob\nBlob\n")))
    assert not is_blob(b"")


def test_every_cut_of_an_export_is_a_typed_error_that_says_where() -> None:
    data = EXPORT_MAGIC + exported(p64(26), b"record") + exported(p64(1), BLOB) + EXPORT_END
    for end in range(4, len(data)):
        with pytest.raises(ExportError, match="cut short: at byte"):
            records_of(data[:end])
    with pytest.raises(ExportError) as caught:
        records_of(data[:21])
    assert "at byte 20 it should have the record of oid 0x1a of 6 bytes, found 1" in str(
        caught.value
    )


def test_an_absurd_length_takes_no_memory() -> None:
    with pytest.raises(ExportError):
        records_of(EXPORT_MAGIC + p64(1) + b"\xff" * 7 + b"\xfe" + b"short")


def test_a_source_may_return_less_than_is_asked_for() -> None:
    source = io.BytesIO(exported(p64(1), b"record" * 9) + EXPORT_END)
    assert list(records_in_export(lambda size: source.read(min(size, 3)))) == [
        ExportedRecord(p64(1), b"record" * 9)
    ]


def zodb_export(tmp_path: Any) -> bytes:
    storage = ZODB.FileStorage.FileStorage(str(tmp_path / "a.fs"), blob_dir=str(tmp_path / "blobs"))
    database = ZODB.DB(storage)
    connection = database.open()
    node = Node(name="first", friend=Node(name="second"), blob=Blob(b"the bytes"))
    connection.root()["node"] = node
    transaction.commit()
    file = connection.exportFile(node._p_oid)
    file.seek(0)
    data: bytes = file.read()
    file.close()
    connection.close()
    database.close()
    return data


def test_exports_of_zodb_are_read(tmp_path: Any) -> None:
    source = io.BytesIO(zodb_export(tmp_path))
    assert source.read(4) == EXPORT_MAGIC
    seen = []
    for record in records_in_export(source.read):
        seen.append(record)
        if record.blob_size_bytes is not None:
            assert source.read(record.blob_size_bytes) == b"the bytes"
    assert [record.blob_size_bytes is None for record in seen].count(False) == 1
    assert sorted(references(seen[0].data)) == sorted(record.oid for record in seen[1:])
