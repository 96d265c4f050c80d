import pickle
from pathlib import Path

import pytest
from ZODB.fsIndex import fsIndex

from perdure.ids import p64
from perdure.storages.file.index import PositionIndex
from perdure.storages.file.indexfile import pack_index, unpack_index

TID = p64(0x03F1C2A4B5D6E7F8)


def sample() -> PositionIndex:
    index = PositionIndex()
    index.update({p64(n): n % 1000 * 100 + 4 for n in (0, 1, 2, 0xFFFF, 0x10000, 2**63)})
    return index


def test_an_index_file_has_these_bytes() -> None:
    index = PositionIndex()
    index.update({p64(1): 4, p64(2): 300})
    assert pack_index(index, 500, TID) == (
        b"\x80\x03M\xf4\x01."  # the position
        b"\x80\x03C\x06\x00\x00\x00\x00\x00\x00q\x00"  # a page: six bytes of oids
        b"C\x10\x00\x01\x00\x02\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x01,q\x01\x86q\x02."
        b"\x80\x03N."  # the end
        b"\xf7PdIndex" + TID + bytes.fromhex("a2d5a5ae")
    )


def test_an_index_comes_back() -> None:
    saved = unpack_index(pack_index(sample(), 12345, TID))
    assert (saved.position, saved.last_tid) == (12345, TID)
    assert list(saved.positions.items()) == list(sample().items())


def test_zodb_reads_our_index(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(pack_index(sample(), 12345, TID))
    loaded = fsIndex.load(str(path))
    assert loaded["pos"] == 12345
    assert loaded["index"].items() == list(sample().items())


def test_we_read_zodbs_index(tmp_path: Path) -> None:
    theirs = fsIndex(dict(sample().items()))
    theirs.save(12345, str(tmp_path / "index"))
    saved = unpack_index((tmp_path / "index").read_bytes())
    assert (saved.position, saved.last_tid) == (12345, None)
    assert list(saved.positions.items()) == list(sample().items())


def test_every_flipped_bit_is_noticed() -> None:
    data = bytearray(pack_index(sample(), 12345, TID))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"it .*|its .*"):
            unpack_index(bytes(data))
        data[bit // 8] ^= 1 << bit % 8


def test_every_truncation_is_noticed_but_that_of_the_whole_trailer() -> None:
    data = pack_index(sample(), 12345, TID)
    for size in range(len(data)):
        if size == len(data) - 20:
            assert unpack_index(data[:size]).last_tid is None  # as ZODB writes it
        else:
            with pytest.raises(ValueError, match=r"it .*|its .*"):
                unpack_index(data[:size])


@pytest.mark.parametrize("value", [{"pos": 4, "index": {}}, "text", None, [1]])
def test_other_pickles_are_no_index(value: object) -> None:
    with pytest.raises(ValueError, match="the format of long ago"):
        unpack_index(pickle.dumps(value))


def test_a_class_in_an_index_is_not_imported() -> None:
    with pytest.raises(ValueError, match="expected plain values"):
        unpack_index(pickle.dumps(12) + pickle.dumps(Path))
