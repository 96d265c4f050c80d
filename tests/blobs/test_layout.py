"""Names below a blob directory: golden ones, ZODB's, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ZODB.blob import LAYOUTS as THEIRS

from perdure.blobs.layout import BUSHY, LAWN, LAYOUTS, Layout, blob_name, tid_in
from perdure.ids import MAX_TID, ZERO, p64

PACKED = st.binary(min_size=8, max_size=8)


def test_bushy_names_each_byte_of_the_oid() -> None:
    assert BUSHY.directory(p64(0x1A2B)) == "0x00/0x00/0x00/0x00/0x00/0x00/0x1a/0x2b"


def test_lawn_names_the_oid_without_leading_zeros() -> None:
    assert [LAWN.directory(oid) for oid in (ZERO, p64(1), p64(0x1A2B))] == [
        "0x00",
        "0x01",
        "0x1a2b",
    ]


def test_a_blob_is_named_by_its_tid() -> None:
    tid = bytes.fromhex("03f1c2a4b5d6e7f8")
    assert blob_name(tid) == "0x03f1c2a4b5d6e7f8.blob"
    assert tid_in("0x03f1c2a4b5d6e7f8.blob") == tid


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@given(oid=PACKED, tid=PACKED)
def test_names_are_those_of_zodb(layout: Layout, oid: bytes, tid: bytes) -> None:
    path = f"{layout.directory(oid)}/{blob_name(tid)}"
    assert path == THEIRS[layout.name].getBlobFilePath(oid, tid)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@given(oid=PACKED, tid=PACKED)
def test_names_lead_back(layout: Layout, oid: bytes, tid: bytes) -> None:
    assert layout.oid(layout.directory(oid)) == oid
    assert tid_in(blob_name(tid)) == tid


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "tmp",
        "0x00",
        "0x00/0x00/0x00/0x00/0x00/0x00/0x00",
        "0x1/" * 7 + "tmp",
        "0x001/" * 8,
    ],
)
def test_other_directories_are_no_bushy_oid(path: str) -> None:
    assert BUSHY.oid(path) is None


@pytest.mark.parametrize(
    "path", ["", "tmp", "0x", "0x1", "0x0g", "00", "0x01/0x02", "0x" + "01" * 9]
)
def test_other_directories_are_no_lawn_oid(path: str) -> None:
    assert LAWN.oid(path) is None


@pytest.mark.parametrize("name", ["", "0x01", "0x1.blob", "x.blob", ".blob", "0x01.blob.tmp"])
def test_other_files_are_no_blobs(name: str) -> None:
    assert tid_in(name) is None


def test_the_highest_tid_has_a_name() -> None:
    assert blob_name(MAX_TID) == "0x7fffffffffffffff.blob"
