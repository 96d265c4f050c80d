import pickle
from io import BytesIO
from typing import Any

import pytest

from perdure.objects.persistentclass import PersistentMetaClass
from perdure.records import rebuild
from perdure.records.names import local_name, stored_name, with_stored_names


@pytest.mark.parametrize(
    ("stored", "local"),
    [
        (("ZODB.blob", "Blob"), ("perdure.objects.blob", "Blob")),
        (("ZODB.broken", "rebuild"), ("perdure.records.broken", "rebuild")),
        (
            ("ZODB.persistentclass", "PersistentMetaClass"),
            ("perdure.objects.persistentclass", "PersistentMetaClass"),
        ),
    ],
)
def test_classes_of_zodb_have_its_names_on_disk(
    stored: tuple[str, str], local: tuple[str, str]
) -> None:
    assert local_name(*stored) == local
    assert stored_name(*local) == stored
    assert local_name(*local) == local


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")),
        (("__builtin__", "unicode"), ("builtins", "str")),
        (("__builtin__", "set"), ("builtins", "set")),
        (("ZODB.PersistentMapping", "PersistentMapping"), ("persistent.mapping",) * 2),
        (("ZODB.TimeStamp", "TimeStamp"), ("persistent.timestamp", "TimeStamp")),
        (("zodbpickle", "binary"), ("builtins", "bytes")),
        (("pathlib._local", "PosixPath"), ("pathlib", "PosixPath")),
        (("myapp.models", "Book"), ("myapp.models", "Book")),
    ],
)
def test_names_that_moved_are_followed(old: tuple[str, str], new: tuple[str, str]) -> None:
    expected = (new[0], old[1]) if new[0] == new[1] else new
    assert local_name(*old) == expected


def test_every_name_that_we_know_leads_to_something() -> None:
    for module, name in (
        ("ZODB.PersistentList", "PersistentList"),
        ("ZODB.TimeStamp", "TimeStamp"),
    ):
        local_module, local = local_name(module, name)
        assert hasattr(__import__(local_module, fromlist=["x"]), local)


def test_names_are_exchanged_in_pickles_and_not_in_strings() -> None:
    misleading = "cperdure.records.broken\nrebuild\n"
    value = [misleading, rebuild, misleading.encode(), PersistentMetaClass, {misleading: rebuild}]
    ours = pickle.dumps(value, 3)
    stored = with_stored_names(ours + ours)
    assert stored.count(b"cZODB.broken\nrebuild\n") == 2
    assert stored.count(b"cZODB.persistentclass\nPersistentMetaClass\n") == 2
    assert stored.count(misleading.encode()) == 4
    read = _Reader(stored).load()
    assert read[0] == misleading
    assert read[1] is rebuild


@pytest.mark.parametrize("order", ["GS", "SG", "SGS", "S", "GSPG"])
def test_names_are_exchanged_wherever_strings_look_like_them(order: str) -> None:
    looks_like_it = "cperdure.records.broken\nrebuild\n"
    values = {"G": rebuild, "S": looks_like_it, "P": PersistentMetaClass}
    value = [[values[kind]] for kind in order]
    stored = with_stored_names(pickle.dumps(value, 3))
    assert _Reader(stored).load() == value
    assert (b"cZODB.broken\nrebuild\n" in stored) == ("G" in order)
    assert (looks_like_it.encode() in stored) == ("S" in order)


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(BytesIO(data))

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(*local_name(module, name))


def test_a_pickle_without_such_names_is_returned_as_it_is() -> None:
    for value in (1, "cperdure.", "cperdure.records.broken\nrebuild\n"):
        data = pickle.dumps(value, 3)
        assert with_stored_names(data) == data
