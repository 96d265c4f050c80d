"""From changed objects to records: what becomes of them when that fails, or is done twice."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import transaction

from perdure import DB, PersistentMapping
from perdure.errors import ConflictError, ConnectionStateError
from perdure.ids import ZERO


@pytest.fixture
def db() -> Iterator[Any]:
    with closing(DB(None, large_record_size=1 << 30)) as db:
        yield db


def opened(db: Any) -> Any:
    return db.open(transaction.TransactionManager())


def commit(connection: Any) -> None:
    connection.transaction_manager.commit()


def test_an_object_with_which_a_batch_was_full_is_new_again_after_a_conflict(db: Any) -> None:
    with closing(opened(db)) as one, closing(opened(db)) as two:
        one.root()["shared"] = PersistentMapping()
        commit(one)
        two.transaction_manager.begin()
        first, second = one.root()["shared"], two.root()["shared"]
        second["theirs"] = 1
        commit(two)
        new = [PersistentMapping(text="x" * 600_000) for _ in range(2)]
        first.update(new=new)
        with pytest.raises(ConflictError):
            commit(one)
        one.transaction_manager.abort()
        for obj in new:
            assert (obj._p_oid, obj._p_jar, obj._p_serial) == (None, None, ZERO)
            assert len(obj["text"]) == 600_000
        first.update(new=new)
        commit(one)
        two.transaction_manager.begin()
        assert [len(each["text"]) for each in second["new"]] == [600_000] * 2


def test_many_batches_are_stored_in_one_commit(db: Any) -> None:
    with closing(opened(db)) as one, closing(opened(db)) as two:
        one.root()["all"] = [PersistentMapping(text=f"{n}" * 100_000) for n in range(9)] * 2
        commit(one)
        two.transaction_manager.begin()
        found = two.root()["all"]
        assert [each["text"][0] for each in found] == [f"{n}" for n in range(9)] * 2


def test_an_object_registered_twice_is_stored_as_it_is_at_last(db: Any) -> None:
    with closing(opened(db)) as connection:
        obj = connection.root()["obj"] = PersistentMapping()
        connection.add(obj)
        obj._p_changed = True
        obj._p_changed = False
        obj["n"] = 1
        commit(connection)
        obj["n"] = 2
        obj._p_changed = False
        obj["n"] = 3
        commit(connection)
        connection.cacheMinimize()
        assert obj["n"] == 3
        assert obj._p_serial == db.lastTransaction()


class Meanwhile:
    """Does something whenever it is pickled."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def __reduce__(self) -> Any:
        self._do()
        return Meanwhile, (None,)


class AskedForItsState:
    """Does something whenever it is asked for its state."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def __getstate__(self) -> dict[str, Any]:
        self._do()
        return {}


@pytest.mark.parametrize("store", ["commit", "savepoint"])
@pytest.mark.parametrize("meanwhile", ["commit", "savepoint", "rollback"])
def test_nothing_is_stored_or_taken_back_in_the_midst_of_storing(
    db: Any, store: str, meanwhile: str
) -> None:
    with closing(opened(db)) as connection:
        root, manager = connection.root(), connection.transaction_manager
        root.update(one=PersistentMapping(), two=PersistentMapping())
        commit(connection)
        if meanwhile == "rollback":
            root["one"]["n"] = 0
            do = connection.savepoint().rollback
        else:
            do = getattr(manager, meanwhile)
        root["one"]["text"] = ["x" * 100_000, Meanwhile(do)]
        root["two"]["text"] = ["y" * 100_000, PersistentMapping()]
        with pytest.raises(ConnectionStateError, match=r"stores objects|joined"):
            getattr(manager, store)()
        manager.abort()
        root["two"]["n"] = 2
        commit(connection)
        connection.cacheMinimize()
        assert (dict(root["one"]), dict(root["two"])) == ({}, {"n": 2})


def test_a_savepoint_that_is_refused_in_the_midst_of_a_commit_takes_nothing_from_it(
    db: Any,
) -> None:
    with closing(opened(db)) as connection:
        root = connection.root()
        root.update((name, PersistentMapping()) for name in "abc")
        commit(connection)
        refused = []

        def save() -> None:
            root["c"]["n"] = 1
            try:
                connection.savepoint()
            except ConnectionStateError as error:
                refused.append(error)

        for name in "abc":
            root[name]["meanwhile"] = AskedForItsState(save)
        commit(connection)
        assert refused
        connection.cacheMinimize()
        assert all("meanwhile" in root[name] for name in "abc")


def test_what_is_stored_as_new_is_known_until_the_end(db: Any) -> None:
    with closing(opened(db)) as connection:
        by_hand, implicit = PersistentMapping(), PersistentMapping()
        connection.add(by_hand)
        connection.root()["new"] = [by_hand, implicit]
        seen: list[dict[bytes, bool]] = []
        connection.transaction_manager.get().join(Watcher(connection, seen))
        commit(connection)
        assert seen == [{by_hand._p_oid: False, implicit._p_oid: True}]
        assert connection._changes.created == {}


class Watcher:
    """Looks at what a connection has stored, when that is done."""

    def __init__(self, connection: Any, seen: list[dict[bytes, bool]]) -> None:
        self._connection = connection
        self._seen = seen

    def sortKey(self) -> str:
        return "zzz"

    def tpc_begin(self, transaction: Any) -> None:
        """Nothing."""

    def commit(self, transaction: Any) -> None:
        """Nothing."""

    def tpc_vote(self, transaction: Any) -> None:
        self._seen.append(dict(self._connection._changes.created))

    def tpc_finish(self, transaction: Any) -> None:
        """Nothing."""

    def tpc_abort(self, transaction: Any) -> None:
        """Nothing."""

    abort = tpc_abort
