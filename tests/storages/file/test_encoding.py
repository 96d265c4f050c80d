import os
from pathlib import Path

from perdure.ids import p64
from perdure.storages.file.datafile import DataFile
from perdure.storages.file.encoding import Encoded, Metadata, encode
from perdure.storages.file.scan import Scanner, Transaction
from perdure.storages.file.spool import Spool

TID = p64(0x03F1C2A4B5D6E7F8)
NOTHING = Metadata(b"", b"", b"")


def joined(encoded: Encoded) -> bytes:
    return b"".join(b"".join(pieces) for pieces in encoded.pieces)


def scanned(data: bytes, position: int, path: Path) -> Transaction:
    """Return what a scan finds in a file that has `data` at `position`."""
    path.write_bytes(b"FS30".ljust(position, b"-") + data)
    file = DataFile(path, os.open(path, os.O_RDONLY))
    found = Scanner(file, file.size()).examine(position)
    assert isinstance(found, Transaction)
    return found


def test_a_transaction_has_these_bytes() -> None:
    plan = {
        p64(1): (b"one", None, None),  # new
        p64(2): (b"two", None, 100),  # changed
        p64(3): (None, 120, 200),  # undone
        p64(4): (None, None, 300),  # deleted
    }
    encoded = encode(TID, Metadata(b"me", b"why", b"\x80\x03}q\x00."), plan, 400, 350, b"c")

    length = 23 + 2 + 3 + 6 + 36 + (42 + 3) + (42 + 3) + (42 + 8) + (42 + 8)
    first = 400 + 23 + 2 + 3 + 6 + 36
    expected = (
        TID + p64(length) + b"c" + bytes.fromhex("0002 0003 002a") + b"me" + b"why"
        b"\x80\x03}q\x00." + b"\xf7Perdure" + p64(400) + p64(length) + p64(350)
        + bytes.fromhex("4e70387d")
        + p64(1) + TID + p64(0) + p64(400) + b"\0\0" + p64(3) + b"one"
        + p64(2) + TID + p64(100) + p64(400) + b"\0\0" + p64(3) + b"two"
        + p64(3) + TID + p64(200) + p64(400) + b"\0\0" + p64(0) + p64(120)
        + p64(4) + TID + p64(300) + p64(400) + b"\0\0" + p64(0) + p64(0)
        + p64(length)
    )  # fmt: skip
    assert joined(encoded) == expected
    assert encoded.end == 400 + length + 8
    assert encoded.positions == {
        p64(1): first,
        p64(2): first + 45,
        p64(3): first + 90,
        p64(4): first + 140,
    }


def test_a_large_transaction_is_written_in_pieces_of_the_same_bytes(tmp_path: Path) -> None:
    plan = {p64(n): (bytes([n % 256]) * 60_000, None, None) for n in range(1, 330)}
    encoded = encode(TID, NOTHING, plan, 4, 4, b" ")
    pieces = [b"".join(pieces) for pieces in encoded.pieces]

    assert len(pieces) > 4
    assert max(map(len, pieces)) < 6_000_000
    found = scanned(b"".join(pieces), 4, tmp_path / "data.fs")
    assert found.records == encoded.positions
    assert found.end == encoded.end


def test_large_records_are_written_as_they_are_and_small_ones_joined(tmp_path: Path) -> None:
    large = [bytes([n]) * 1_000_000 for n in range(6)]
    datas = [b"small", b"small too", *large[:3], b"between", *large[3:]]
    plan = {p64(n): (data, None, None) for n, data in enumerate(datas, 1)}
    encoded = encode(TID, NOTHING, plan, 4, 4, b" ")
    (pieces,) = encoded.pieces

    assert [piece for piece in pieces if len(piece) > 500] == large
    assert {id(piece) for piece in large} <= {id(piece) for piece in pieces}
    found = scanned(b"".join(pieces), 4, tmp_path / "data.fs")
    assert found.records == encoded.positions
    assert found.end == encoded.end


def test_no_write_has_more_pieces_than_the_system_takes(tmp_path: Path) -> None:
    plan = {p64(n): (b"x" * 70_000, None, None) for n in range(1, 700)}
    encoded = encode(TID, NOTHING, plan, 4, 4, b" ")
    portions = list(encoded.pieces)

    assert max(map(len, portions)) <= 1024
    found = scanned(b"".join(map(b"".join, portions)), 4, tmp_path / "data.fs")
    assert found.records == encoded.positions


def test_spooled_records_are_written_like_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    plan = {p64(n): (b"%d" % n * 100_000, None, None) for n in range(1, 30)}
    spooled = {oid: (spool.keep(data), None, None) for oid, (data, _, _) in plan.items()}

    assert joined(encode(TID, NOTHING, spooled, 4, 4, b" ", in_memory=False)) == joined(
        encode(TID, NOTHING, plan, 4, 4, b" ")
    )


def test_the_extension_that_leaves_no_room_is_written_as_it_is(tmp_path: Path) -> None:
    extension = b"x" * 65535
    encoded = encode(TID, Metadata(b"", b"", extension), {}, 4, 4, b" ")

    assert not encoded.sealed
    data = joined(encoded)
    assert data[23:-8] == extension
    assert scanned(data, 4, tmp_path / "data.fs").trailer is None


def test_a_transaction_without_records_is_one(tmp_path: Path) -> None:
    encoded = encode(TID, NOTHING, {}, 4, 4, b" ")
    found = scanned(joined(encoded), 4, tmp_path / "data.fs")
    assert (found.records, found.end) == ({}, encoded.end)
