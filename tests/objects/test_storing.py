"""From changed objects to records: what becomes of them when that fails, or is done twice."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import transaction

from perdure import DB, PersistentMapping
from perdure.errors import ConflictError
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
