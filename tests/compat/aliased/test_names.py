"""Classes are the same objects under both names."""

import importlib
import pickle
import sys
import warnings
from pathlib import Path
from types import ModuleType
from unittest import mock

import BTrees.Interfaces
import persistent.mapping
import pytest
import ZODB
import ZODB.blob
import ZODB.broken
import ZODB.Connection
import ZODB.DB
import ZODB.DemoStorage
import ZODB.FileStorage
import ZODB.FileStorage.FileStorage
import ZODB.interfaces
import ZODB.MappingStorage
import ZODB.persistentclass
import ZODB.PersistentMapping
import ZODB.POSException
import ZODB.TimeStamp
import ZODB.utils

import perdure
import perdure.compat
import perdure.errors
from perdure.errors import StorageClosedError
from perdure.interfaces import INTERFACES, Storage
from perdure.objects.connection import Connection
from perdure.objects.persistentclass import PersistentMetaClass


def test_no_module_of_the_real_zodb_is_loaded() -> None:
    files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
    assert not any("site-packages/ZODB/" in file for file in files)
    assert "/perdure/compat/modules/" in ZODB.__file__


def test_classes_are_perdures_own() -> None:
    assert ZODB.DB is perdure.DB
    assert ZODB.FileStorage.FileStorage is perdure.FileStorage
    assert ZODB.MappingStorage.MappingStorage is perdure.MappingStorage
    assert ZODB.DemoStorage.DemoStorage is perdure.DemoStorage
    assert ZODB.Connection.Connection is Connection
    assert ZODB.blob.Blob is perdure.Blob
    assert ZODB.persistentclass.PersistentMetaClass is PersistentMetaClass
    assert ZODB.interfaces.IStorage is INTERFACES[Storage]


@pytest.mark.parametrize("name", ["DB", "connection"])
def test_a_patched_name_comes_back(name: str) -> None:
    original, patched = getattr(ZODB, name), object()
    with mock.patch(f"ZODB.{name}", patched):  # deletes what it has set
        assert getattr(ZODB, name) is patched
    assert getattr(ZODB, name) is original


def test_a_connection_is_opened_with_the_arguments_of_a_database(tmp_path: Path) -> None:
    for arguments, options in (
        ((str(tmp_path / "a.fs"),), {"create": True}),
        ((None,), {}),
        ((perdure.MappingStorage(),), {"database_name": "named"}),
    ):
        connection = ZODB.connection(*arguments, **options)
        db = connection.db()
        assert isinstance(db, ZODB.DB)
        assert db.database_name == options.get("database_name", "unnamed")
        connection.close()
        with pytest.raises(StorageClosedError):
            db.open()


def test_db_stays_a_class_after_its_module_was_imported() -> None:
    module = importlib.import_module("ZODB.DB")
    assert isinstance(module, ModuleType)
    assert module.DB is ZODB.DB is perdure.DB
    module = importlib.import_module("ZODB.FileStorage.FileStorage")
    assert isinstance(module, ModuleType)
    assert module.FileStorage is ZODB.FileStorage.FileStorage


def test_db_may_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ZODB, "DB", dict)
    assert ZODB.DB is dict
    monkeypatch.undo()
    assert ZODB.DB is perdure.DB


@pytest.mark.parametrize(
    "name", [n for n in ZODB.POSException.__all__ if n in perdure.errors.__all__]
)
def test_errors_are_perdures_own_under_zodbs_name(name: str) -> None:
    error = getattr(perdure.errors, name)
    assert getattr(ZODB.POSException, name) is error
    assert error.__module__ == "ZODB.POSException"


def test_an_error_pickles_under_zodbs_name() -> None:
    error = ZODB.POSException.ConflictError("because", oid=b"\0" * 7 + b"\1")
    pickled = pickle.dumps(error, 3)
    assert b"ZODB.POSException" in pickled
    assert pickle.loads(pickled).oid == error.oid


def test_an_unknown_object_is_an_error_without_attributes_as_servers_expect() -> None:
    assert vars(ZODB.POSException.POSKeyError(b"\0" * 8)) == {}
    assert ZODB.POSException.POSKeyError(b"\0" * 8).oid == b"\0" * 8


def test_trees_raise_zodbs_conflict() -> None:
    conflict = BTrees.Interfaces.BTreesConflictError
    assert conflict is ZODB.POSException.BTreesConflictError is perdure.errors.BTreesConflictError
    from BTrees.OOBTree import OOBucket

    with pytest.raises(ZODB.POSException.ConflictError) as caught:
        OOBucket()._p_resolveConflict((((1, 1),),), (((1, 2),),), (((1, 3),),))
    assert caught.value.reason == 12


def test_old_modules_are_those_of_persistent() -> None:
    assert ZODB.PersistentMapping is persistent.mapping
    assert ZODB.TimeStamp.TimeStamp is perdure.TimeStamp
    assert importlib.import_module("ZODB.PersistentList").PersistentList is perdure.PersistentList


def test_interfaces_go_by_zodbs_module() -> None:
    assert ZODB.interfaces.IStorage.__module__ == "ZODB.interfaces"
    assert pickle.loads(pickle.dumps(ZODB.interfaces.IStorage)) is ZODB.interfaces.IStorage
    assert ZODB.interfaces.IStorageUndoable.providedBy(perdure.MappingStorage())
    assert ZODB.interfaces.IDatabase.implementedBy(perdure.DB)
    assert ZODB.interfaces.IConnection.implementedBy(Connection)
    assert ZODB.interfaces.IBlob.implementedBy(perdure.Blob)


def test_a_missing_module_is_named_with_what_to_use() -> None:
    with pytest.raises(ImportError, match=r"there is no ZODB\.tests in Perdure.*perdure\.testing"):
        importlib.import_module("ZODB.tests")
    with pytest.raises(ImportError, match=r"there is no ZODB\.tests in Perdure"):
        importlib.import_module("ZODB.tests.util")
    with pytest.raises(ImportError, match=r"there is no ZODB\.xyz in Perdure.*migration guide"):
        from ZODB import xyz  # noqa: F401


def test_a_missing_name_of_a_module_is_named_with_what_to_use() -> None:
    with pytest.raises(ImportError, match=r"FileStorage\.read_index.*use `FileStorage\.pack`"):
        from ZODB.FileStorage.FileStorage import read_index  # noqa: F401
    assert not hasattr(ZODB.FileStorage.FileStorage, "read_index")
    assert not hasattr(ZODB.utils, "zork")
    with pytest.raises(ImportError, match=r"there is no ZODB\.utils\.zork in Perdure"):
        from ZODB.utils import zork  # noqa: F401


def test_an_internal_name_resolves_and_warns_with_its_replacement() -> None:
    with pytest.warns(DeprecationWarning, match=r"use perdure\.objects\.savepoint"):
        from ZODB.Connection import TmpStore
    with pytest.warns(DeprecationWarning, match=r"use perdure\.mvcc\.Snapshots"):
        from ZODB.mvccadapter import MVCCAdapter
    assert (TmpStore.__name__, MVCCAdapter.__name__) == ("SavepointStore", "Snapshots")


def test_installing_twice_is_harmless() -> None:
    perdure.compat.install()
    assert perdure.compat.installed()


def test_every_module_of_the_names_can_be_imported_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("_compat", "conversionhack", "event", "loglevels", "valuedoc", "fstools"):
            importlib.import_module(f"ZODB.{name}")
