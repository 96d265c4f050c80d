"""Encrypted records: genuine in one place only, a wrong key told apart from damage."""

import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import (
    DamagedRecordError,
    MisplacedRecordError,
    MissingExtraError,
    TransformError,
    UnknownKeyError,
    UnknownMarkerError,
    Unsupported,
)
from perdure.ids import p64
from perdure.records import encryption
from perdure.records.encryption import Encryption
from perdure.records.keyring import KeyRing
from perdure.records.transforms import NO_FACTS, Facts

OID, OTHER = p64(0x1A), p64(0x1B)
TID, LATER = p64(1 << 57), p64((1 << 57) + 1)
OLD, NEW = bytes(32), bytes(range(32))
DATA = b"\x80\x03capp\nBook\nq.}."

transform = Encryption(KeyRing(NEW))


def written(data: bytes = DATA, oid: bytes = OID, tid: bytes = TID) -> bytes:
    return transform.bind(oid, tid, transform.transform(oid, data))


@given(data=st.binary(max_size=200))
def test_every_record_comes_back_as_it_was(data: bytes) -> None:
    assert transform.untransform(OID, TID, written(data)) == data
    assert transform.untransform(None, None, written(data)) == data


def test_the_layout_is_the_documented_one() -> None:
    stored = transform.transform(OID, DATA, Facts(TID))

    assert stored[:4] == b".e\x01\x05"
    assert stored[4:8].hex() == transform.keys.ids[0]
    assert stored[12:20] == OID
    assert stored[20:28] == TID
    assert len(stored) == 28 + 24 + len(DATA) + 16 + 16
    assert stored[-16:] == bytes(16)


def test_the_same_record_is_never_the_same_twice() -> None:
    assert len({transform.transform(OID, DATA)[20:44] for _ in range(1000)}) == 1000


def test_nothing_of_a_record_shows() -> None:
    assert b"Book" not in written()


def test_a_record_in_the_place_of_another_object_is_refused() -> None:
    with pytest.raises(MisplacedRecordError) as caught:
        transform.untransform(OTHER, TID, written())

    assert (caught.value.oid, caught.value.tid) == (OTHER, TID)
    assert "belongs to oid 0x1a" in str(caught.value)


def test_a_record_in_the_place_of_another_revision_is_refused() -> None:
    for tid in (p64(1), LATER):
        with pytest.raises(MisplacedRecordError, match="was not written by transaction"):
            transform.untransform(OID, tid, written())


def test_a_record_that_was_never_bound_is_refused() -> None:
    with pytest.raises(MisplacedRecordError):
        transform.untransform(OID, TID, transform.transform(OID, DATA))


def test_the_place_of_one_record_does_not_fit_another() -> None:
    one, two = written(b"one"), written(b"two", tid=LATER)

    with pytest.raises(MisplacedRecordError):
        transform.untransform(OID, LATER, one[:-16] + two[-16:])


def test_binding_again_is_the_same() -> None:
    stored = transform.transform(OID, DATA)

    assert transform.bind(OID, TID, stored) == transform.bind(OID, TID, stored)


def test_every_flipped_bit_is_noticed() -> None:
    stored = written()

    for bit in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        if damaged[:1] != b".":
            continue  # a plain record then, which is a matter of `plain`
        with pytest.raises((DamagedRecordError, MisplacedRecordError, UnknownMarkerError)):
            transform.untransform(OID, TID, bytes(damaged))


def test_every_truncation_is_noticed() -> None:
    stored = written()

    for size in range(2, len(stored)):
        with pytest.raises(DamagedRecordError):
            transform.untransform(OID, TID, stored[:size])


def test_a_wrong_key_is_told_apart_from_a_damaged_record() -> None:
    other = Encryption(KeyRing(OLD))

    with pytest.raises(UnknownKeyError) as caught:
        other.untransform(OID, TID, written())
    assert caught.value.key_id == transform.keys.ids[0]
    assert caught.value.known == other.keys.ids
    assert "wrong key, not damage" in str(caught.value)

    damaged = bytearray(written())
    damaged[5] ^= 1  # in the id of the key
    with pytest.raises(DamagedRecordError, match="damaged header"):
        other.untransform(OID, TID, bytes(damaged))


def test_older_keys_read_and_the_current_one_writes() -> None:
    before = Encryption(KeyRing(OLD))
    rotated = Encryption(KeyRing(NEW, [OLD]))
    old = before.bind(OID, TID, before.transform(OID, DATA))

    assert rotated.untransform(OID, TID, old) == DATA
    assert rotated.transform(OID, DATA)[4:8].hex() == transform.keys.ids[0]
    assert rotated.keys.ids == (transform.keys.ids[0], before.keys.ids[0])


def test_facts_are_kept_and_authenticated() -> None:
    facts = Facts(source=LATER, blob=bytes(range(16)))
    stored = transform.transform(OID, DATA, facts)

    assert transform.facts(stored) == facts
    assert transform.facts(written()) == NO_FACTS
    assert transform.facts(DATA) == NO_FACTS
    forged = bytearray(transform.bind(OID, TID, stored))
    forged[21] ^= 1
    with pytest.raises(DamagedRecordError):
        transform.untransform(OID, TID, bytes(forged))


def test_plain_records_are_read_unless_they_are_refused() -> None:
    strict = Encryption(KeyRing(NEW), plain=False)

    assert transform.untransform(OID, TID, DATA) == DATA
    with pytest.raises(TransformError, match="not encrypted"):
        strict.untransform(OID, TID, DATA)
    assert strict.untransform(OID, TID, written()) == DATA


def test_without_binding_a_record_is_good_for_every_revision_of_its_object() -> None:
    loose = Encryption(KeyRing(NEW), binding=False)
    stored = loose.bind(OID, TID, loose.transform(OID, DATA))

    assert loose.untransform(OID, LATER, stored) == DATA
    with pytest.raises(MisplacedRecordError):
        loose.untransform(OTHER, TID, stored)


def test_dropping_the_place_does_not_make_a_record_unbound() -> None:
    loose = bytearray(written()[:-16])
    loose[3] &= ~4

    with pytest.raises(DamagedRecordError):
        transform.untransform(OID, TID, bytes(loose))


def test_a_record_whose_oid_is_not_known_cannot_be_encrypted() -> None:
    with pytest.raises(Unsupported, match="together with its oid"):
        transform.transform(None, DATA)


def test_a_newer_version_is_not_damage() -> None:
    stored = bytearray(written())
    stored[2] = 2
    stored[8:12] = zlib.crc32(stored[:8]).to_bytes(4, "big")

    with pytest.raises(TransformError, match="found version 2"):
        transform.untransform(OID, TID, bytes(stored))


def test_a_compressed_record_is_told_to_need_its_layer() -> None:
    for marker in (b".z", b".s", b".d"):
        with pytest.raises(UnknownMarkerError, match="have a compressing layer below"):
            transform.untransform(OID, TID, marker + bytes(100))


def test_without_its_package_encryption_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    encryption.aes_gcm.cache_clear()

    with pytest.raises(MissingExtraError, match=r"pip install 'perdure\[encrypt\]'"):
        Encryption(KeyRing(NEW))


def test_a_ring_shows_ids_and_no_keys() -> None:
    assert NEW.hex() not in repr(transform.keys.current)
    with pytest.raises(ValueError, match="a key of 16 bytes, expected 32"):
        KeyRing(bytes(16))
