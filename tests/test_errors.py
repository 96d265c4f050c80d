import inspect
import pickle

import pytest
import transaction.interfaces
import ZODB.POSException
import ZODB.utils

from perdure import errors
from perdure.clock import tid_at
from perdure.ids import p64

READ, COMMITTED = tid_at(1_000_000_000), tid_at(1_000_000_060)


def test_the_tree_is_zodbs_tree() -> None:
    for name, theirs in vars(ZODB.POSException).items():
        if not (inspect.isclass(theirs) and theirs.__module__ == "ZODB.POSException"):
            continue
        ours = getattr(errors, name)
        wanted = [base.__name__ for base in theirs.__mro__]
        found = [base.__name__ for base in ours.__mro__]
        assert [name for name in found if name in wanted] == wanted


def test_a_conflict_says_what_was_read_and_what_is_committed() -> None:
    error = errors.ConflictError(oid=p64(26), class_name="app.Book", serials=(COMMITTED, READ))
    assert str(error) == (
        "database conflict error (oid 0x1a, class app.Book, "
        f"this transaction read revision 0x{READ.hex()} of 2001-09-09 01:46:40.000000, "
        f"committed meanwhile is 0x{COMMITTED.hex()} of 2001-09-09 01:47:40.000000)"
    )
    assert (error.get_new_serial(), error.get_old_serial()) == (COMMITTED, READ)
    assert isinstance(error, transaction.interfaces.TransientError)


def test_a_conflict_finds_the_class_in_the_record() -> None:
    error = errors.ConflictError(oid=p64(1), data=b"\x80\x03capp.shop\nBook\nq\x00.}.")
    assert error.class_name == "app.shop.Book"


def test_serials_that_are_not_known_are_not_made_up() -> None:
    with pytest.raises(ValueError, match="does not know its serials"):
        errors.ConflictError("why").get_old_serial()


def test_a_missing_object_says_who_wanted_it() -> None:
    error = errors.POSKeyError(
        p64(26), class_name="app.Book", referrer_oid=p64(2), referrer_class="app.Shelf"
    )
    assert str(error) == (
        "no object with oid 0x1a (class app.Book), referred to by oid 0x2 (class app.Shelf)"
    )
    assert isinstance(error, KeyError)
    assert error.args == (p64(26),)


def test_damage_says_where_and_what_to_do() -> None:
    error = errors.CorruptDataError("app.fs", 4812, "22 bytes", "a 23-byte header", p64(3))
    assert str(error) == (
        "app.fs, byte 4812, oid 0x3: found 22 bytes, expected a 23-byte header; "
        "run `perdure check app.fs`"
    )


@pytest.mark.parametrize("reason", range(14))
def test_every_reason_of_btrees_has_words(reason: int) -> None:
    error = errors.BTreesConflictError(1, 2, -1, reason)
    assert str(error).startswith("BTrees conflict error at 1/2/-1: ")
    assert not str(error).endswith(f"reason {reason}")


def test_an_unknown_reason_of_btrees_is_a_number() -> None:
    assert str(errors.BTreesConflictError(1, 2, 3, 99)).endswith("reason 99")


@pytest.mark.parametrize(
    "error",
    [
        errors.ConflictError(oid=p64(26), serials=(COMMITTED, READ)),
        errors.ReadConflictError(oid=p64(26), serials=(COMMITTED, READ)),
        errors.BTreesConflictError(1, 2, 3, 4),
        errors.POSKeyError(p64(1), class_name="app.Book"),
        errors.CorruptDataError("app.fs", 1, "this", "that"),
        errors.UndoError("why", p64(1)),
        errors.MultipleUndoErrors([(p64(1), "why"), (p64(2), "too")]),
        errors.DanglingReferenceError(p64(1), p64(2)),
        errors.FileLockedError("app.fs", "process 1"),
        errors.UnpicklableError(p64(1), "app.Book", "a lock"),
        errors.AddressError("fiel:x", "fiel", "is no scheme", "file:x"),
        errors.StagingError("staged.fs", "why"),
        errors.AlreadyAppliedError("staged.fs", "app.fs", COMMITTED),
        errors.WrongDatabaseError("staged.fs", "app.fs", "why"),
        errors.StagedConflictsError(
            "staged.fs", "app.fs", [errors.StagedConflict(p64(1), "app.Book", "was changed")]
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_with_their_facts(error: errors.POSError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_what_cannot_be_stored_is_also_pickles_own_error() -> None:
    error = errors.UnpicklableError(p64(1), "app.Book", "a lock")
    assert isinstance(error, pickle.PicklingError)
    assert isinstance(error, TypeError)
