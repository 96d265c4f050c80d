"""Compressed records: what gets smaller, what stays, what is read, what is damaged."""

import sys
import zlib
from functools import partial

import pytest
import zc.zlibstorage
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import (
    DamagedRecordError,
    MissingExtraError,
    UnknownDictionaryError,
    UnknownMarkerError,
)
from perdure.ids import p64
from perdure.records.compression import Compression
from perdure.testing.contract.threads import at_once

OID, TID = p64(0x1A), p64(1 << 57)
LONG = b"\x80\x03cmodule\nClass\nq\x01." + b"the same again " * 50
DICTIONARY = zstandard.train_dictionary(
    2048, [b"\x80\x03capp\nBook\nq.}title number %d of %d" % (n, n * n) for n in range(3000)]
).as_bytes()

every_method = pytest.mark.parametrize(
    "transform",
    [Compression(), Compression("zlib"), Compression("zstd", 9, [DICTIONARY])],
    ids=["zstd", "zlib", "dictionary"],
)


@every_method
@given(
    data=st.binary(max_size=300) | st.builds(lambda b, n: b * n, st.binary(), st.integers(0, 50))
)
def test_every_record_comes_back_as_it_was(transform: Compression, data: bytes) -> None:
    stored = transform.transform(OID, data)

    assert transform.untransform(OID, TID, stored) == data
    assert len(stored) <= len(data) or data.startswith(b".")


@every_method
def test_what_gets_smaller_is_marked(transform: Compression) -> None:
    stored = transform.transform(OID, LONG)

    assert stored[:2] in (b".s", b".z", b".d")
    assert len(stored) < len(LONG) / 5


@every_method
def test_what_does_not_get_smaller_stays_plain(transform: Compression) -> None:
    incompressible = bytes(range(256))

    for data in (b"", b"\x80\x03N.", b"x" * 20, incompressible):
        assert transform.transform(OID, data) == data
        assert transform.untransform(OID, TID, data) == data


@every_method
@pytest.mark.parametrize("data", [b".", b".z", b".z no stream", b".s", b".e" + bytes(100)])
def test_what_begins_like_a_marker_is_not_mistaken_for_one(
    transform: Compression, data: bytes
) -> None:
    assert transform.untransform(OID, TID, transform.transform(OID, data)) == data


def test_each_method_reads_what_the_others_wrote() -> None:
    methods = [Compression(), Compression("zlib"), Compression(dictionaries=[DICTIONARY])]

    for writer in methods:
        stored = writer.transform(OID, LONG)
        for reader in (Compression("zlib", dictionaries=[DICTIONARY]), methods[2]):
            assert reader.untransform(OID, TID, stored) == LONG


@given(
    data=st.binary(max_size=300) | st.builds(lambda b, n: b * n, st.binary(), st.integers(0, 50))
)
def test_zlib_and_zc_zlibstorage_read_one_another(data: bytes) -> None:
    ours = Compression("zlib")

    if not data.startswith(b"."):
        assert ours.untransform(OID, TID, zc.zlibstorage.compress(data)) == data
    if data:  # theirs takes an empty result for a failure
        assert zc.zlibstorage.decompress(ours.transform(OID, data)) == data


def test_a_dictionary_makes_small_records_smaller() -> None:
    data = b"\x80\x03capp\nBook\nq.}title number 41 of 1681"

    plain, trained = Compression(), Compression(dictionaries=[DICTIONARY])

    assert len(plain.transform(OID, data)) == len(data)
    assert len(trained.transform(OID, data)) < len(data)


def test_a_dictionary_that_is_not_given_is_named() -> None:
    stored = Compression(dictionaries=[DICTIONARY]).transform(OID, LONG)
    dictionary_id = zstandard.ZstdCompressionDict(DICTIONARY).dict_id()

    with pytest.raises(UnknownDictionaryError) as caught:
        Compression().untransform(OID, TID, stored)

    assert caught.value.dictionary_id == dictionary_id
    assert str(caught.value) == (
        f"the record of oid 0x1a as of 0x0200000000000000: compressed with dictionary "
        f"{dictionary_id}, and those given are: none; give the file of that dictionary, too"
    )


def test_what_is_no_dictionary_is_refused() -> None:
    with pytest.raises(ValueError, match="without an id"):
        Compression(dictionaries=[b"no dictionary at all"])


@pytest.mark.parametrize("stored", [b".q" + LONG, b".", b".\x00"])
def test_an_unknown_marker_is_an_error_that_shows_it(stored: bytes) -> None:
    with pytest.raises(UnknownMarkerError) as caught:
        Compression().untransform(OID, TID, stored)

    assert caught.value.marker == stored[:2]
    assert caught.value.oid == OID


def test_an_encrypted_record_is_told_to_need_its_layer() -> None:
    with pytest.raises(UnknownMarkerError, match="have an encrypting layer below"):
        Compression().untransform(OID, TID, b".e" + bytes(100))


@every_method
def test_every_flipped_bit_is_noticed_or_harmless(transform: Compression) -> None:
    stored = transform.transform(OID, LONG)

    for bit in range(16, 8 * len(stored)):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = transform.untransform(OID, TID, bytes(damaged))
        except (DamagedRecordError, UnknownDictionaryError):
            continue
        assert found == LONG


@every_method
def test_a_truncated_record_is_damaged(transform: Compression) -> None:
    stored = transform.transform(OID, LONG)

    for size in range(2, len(stored)):
        with pytest.raises(DamagedRecordError):
            transform.untransform(OID, TID, stored[:size])


@every_method
def test_threads_share_one_transform(transform: Compression) -> None:
    def use(n: int) -> None:
        for m in range(200):
            data = LONG + b"%d %d" % (n, m)
            assert transform.untransform(OID, TID, transform.transform(OID, data)) == data

    at_once(*(partial(use, n) for n in range(4)))


@pytest.mark.parametrize(("method", "level"), [("lzma", None), ("zlib", 11), ("zstd", 99)])
def test_a_method_or_level_that_there_is_not_is_refused(method: str, level: int | None) -> None:
    with pytest.raises(ValueError, match=r"method|level"):
        Compression(method, level)


def test_without_its_package_zstd_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'perdure\[compress\]'"):
        Compression()
    with pytest.raises(MissingExtraError):
        Compression("zlib").untransform(OID, TID, b".s" + bytes(20))
    stored = Compression("zlib").transform(OID, LONG)
    assert zlib.decompress(stored[2:]) == LONG
