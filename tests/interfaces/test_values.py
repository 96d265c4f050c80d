import pickle

import pytest

from perdure.interfaces import TransactionMetaData, dump_extension, load_extension


def test_text_becomes_utf_8() -> None:
    metadata = TransactionMetaData("Zoë", "καλημέρα")
    assert metadata.user == "Zoë".encode()
    assert metadata.description == "καλημέρα".encode()


def test_an_empty_extension_is_no_bytes() -> None:
    assert TransactionMetaData().extension_bytes == b""
    assert load_extension(b"") == {}


def test_extension_bytes_come_back_exactly() -> None:
    # Another protocol and key order than we would write ourselves.
    given = pickle.dumps({"b": 1, "a": 2}, 2)
    metadata = TransactionMetaData(extension=given)
    assert metadata.extension == {"b": 1, "a": 2}
    assert metadata.extension_bytes is given


def test_an_extension_can_be_changed_until_it_is_stored() -> None:
    metadata = TransactionMetaData(extension={"a": 1})
    metadata.extension["b"] = 2
    assert load_extension(metadata.extension_bytes) == {"a": 1, "b": 2}
    metadata.extension = {"c": 3}
    assert metadata.extension_bytes == dump_extension({"c": 3})


def test_an_extension_of_python_2_is_text_where_it_can_be() -> None:
    short_string = b"\x80\x02}q\x00U\x04nameq\x01U\x01\xe4s."
    assert load_extension(short_string) == {"name": b"\xe4"}


def test_each_owner_has_its_own_data() -> None:
    metadata = TransactionMetaData()
    one, other = [1], [1]  # equal, and not the same
    metadata.set_data(one, "one's")
    assert metadata.data(one) == "one's"
    with pytest.raises(KeyError):
        metadata.data(other)


def test_text_that_is_set_later_is_encoded_too() -> None:
    metadata = TransactionMetaData()
    metadata.user, metadata.description = "Zoë", b"bytes stay"
    assert (metadata.user, metadata.description) == ("Zoë".encode(), b"bytes stay")


def test_notes_are_lines_of_the_description() -> None:
    metadata = TransactionMetaData(description="first")
    metadata.note("  second ")
    assert metadata.description == b"first\nsecond"
