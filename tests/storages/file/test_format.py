from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import CorruptDataError, FileStorageError
from perdure.ids import p64
from perdure.storages.file import format as layout

PATH = Path("data.fs")
TID = p64(0x03F1C2A4B5D6E7F8)


def test_a_transaction_header_has_these_bytes() -> None:
    header = layout.TransactionHeader(TID, 300, b" ", 2, 3, 40)
    head = layout.pack_transaction_head(header, b"me", b"why")

    assert head == (
        bytes.fromhex("03f1c2a4b5d6e7f8")  # tid
        + bytes.fromhex("000000000000012c")  # length
        + b" "  # status
        + bytes.fromhex("0002 0003 0028")  # sizes of user, note and extension
        + b"me"
        + b"why"
    )
    assert layout.unpack_transaction_header(head, PATH, 4) == header
    assert header.size == 23 + 2 + 3 + 40


def test_a_record_header_has_these_bytes() -> None:
    packed = bytes.fromhex(
        "000000000000002a"  # oid
        "03f1c2a4b5d6e7f8"  # tid
        "0000000000000064"  # position of the previous record
        "00000000000000c8"  # position of the transaction
        "0000"  # once the size of a version's name
        "000000000000012c"  # size of the data
    )
    header = layout.unpack_record_header(packed, PATH, 300, p64(42))
    assert header == (p64(42), TID, 100, 200, 0, 300)
    assert layout.RECORD_HEADER.pack(*header) == packed
    assert header.record_size == 42 + 300
    assert header._replace(data_size=0).record_size == 42 + 8


def test_a_trailer_has_these_bytes() -> None:
    field = layout.pack_extension(b"\x80\x03}q\x00.", position=4, length=300, durable=2)
    assert field == (
        b"\x80\x03}q\x00."
        + b"\xf7Perdure"
        + bytes.fromhex("0000000000000004 000000000000012c 0000000000000002")
    )
    assert layout.split_extension(field + b"\x01\x02\x03\x04") == (
        b"\x80\x03}q\x00.",
        layout.Trailer(4, 300, 2, 0x01020304),
    )


def test_the_checksum_is_crc_32c_of_all_but_the_status() -> None:
    head = b"123456789abcdef0" + b"c" + b"rest"
    sealed = layout.seal(head, [b"1234", b"56789"])
    assert sealed == layout.seal(head.replace(b"c", b" ", 2).replace(b" ", b"c", 1), [b"123456789"])
    # The check value of CRC-32C is that of the digits.
    assert layout.seal(b"", [b"123456789"]) == bytes.fromhex("e3069283")


def test_an_empty_extension_stands_as_an_empty_dictionary_before_its_trailer() -> None:
    field = layout.pack_extension(b"", 4, 300, 4) + b"\0\0\0\0"
    assert field.startswith(b"}." + b"\xf7Perdure")
    assert layout.split_extension(field)[0] == b""
    assert len(field) == layout.extension_field_size(b"")


@given(st.binary(max_size=100), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_an_extension_comes_back_byte_for_byte(extension: bytes, number: int, crc: int) -> None:
    field = layout.pack_extension(extension, number, number, number) + layout.CRC.pack(crc)
    found, trailer = layout.split_extension(field)
    if extension == layout.NO_EXTENSION:  # which nobody writes
        assert found == b""
    else:
        assert found == extension
    assert trailer == (number, number, number, crc)
    assert len(field) == layout.extension_field_size(extension)


@given(st.binary(max_size=60))
def test_a_field_without_a_trailer_is_all_extension(field: bytes) -> None:
    assert layout.split_extension(field) == (field, None)


def test_an_extension_that_leaves_no_room_goes_without_a_trailer() -> None:
    largest = layout.MAX_FIELD_SIZE - layout.TRAILER_SIZE
    assert layout.extension_field_size(b"x" * largest) == layout.MAX_FIELD_SIZE
    assert layout.extension_field_size(b"x" * (largest + 1)) == largest + 1


@pytest.mark.parametrize("field", ["user", "description", "extension"])
def test_metadata_that_do_not_fit_are_named(field: str) -> None:
    values = {"user": b"", "note": b"", "extension": b""}
    values["note" if field == "description" else field] = b"x" * 65535
    layout.check_metadata(**values, path=PATH)

    values["note" if field == "description" else field] += b"x"
    with pytest.raises(FileStorageError) as caught:
        layout.check_metadata(**values, path=PATH)
    assert str(caught.value) == (
        f"data.fs: found a transaction's {field} of 65536 bytes, "
        "expected at most 65535; nothing was written"
    )


def test_a_torn_transaction_header_says_where_it_starts() -> None:
    with pytest.raises(CorruptDataError) as caught:
        layout.unpack_transaction_header(b"x" * 22, PATH, 4812)
    assert str(caught.value) == (
        "data.fs, byte 4812: found 22 bytes, expected a 23-byte header; run `perdure check data.fs`"
    )


def test_a_torn_record_header_says_where_it_starts_and_whose_it_is() -> None:
    with pytest.raises(CorruptDataError) as caught:
        layout.unpack_record_header(b"x" * 41, PATH, 4812, p64(26))
    assert (caught.value.position, caught.value.oid) == (4812, p64(26))
    assert "found 41 bytes, expected a 42-byte record header" in str(caught.value)


def test_the_record_of_another_object_is_refused() -> None:
    packed = layout.RECORD_HEADER.pack(p64(1), TID, 0, 4, 0, 1)
    with pytest.raises(
        CorruptDataError, match="found a record of oid 0x1, expected one of oid 0x2"
    ):
        layout.unpack_record_header(packed, PATH, 50, p64(2))


def test_a_record_in_a_version_is_refused() -> None:
    packed = layout.RECORD_HEADER.pack(p64(1), TID, 0, 4, 5, 1)
    with pytest.raises(CorruptDataError, match="a version name of 5 bytes"):
        layout.unpack_record_header(packed, PATH, 50)
