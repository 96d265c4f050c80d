import threading
from collections.abc import Callable

import pytest

from perdure import clock
from perdure.errors import StorageClosedError, StorageTransactionError
from perdure.ids import ZERO, after, p64
from perdure.interfaces import TransactionMetaData
from perdure.storages.gate import Gate, Phase


@pytest.fixture
def gate() -> Gate[str]:
    return Gate()


@pytest.fixture
def transaction() -> TransactionMetaData:
    return TransactionMetaData()


def voted(gate: Gate[str], changes: str = "changes") -> TransactionMetaData:
    transaction = TransactionMetaData()
    gate.begin(transaction, changes)
    with gate.voting(transaction):
        pass
    return transaction


def test_several_transactions_are_let_in_at_once(gate: Gate[str]) -> None:
    first, second = TransactionMetaData(), TransactionMetaData()
    gate.begin(first, "one")
    gate.begin(second, "two")

    assert (gate.changes(first), gate.changes(second)) == ("one", "two")


def test_beginning_twice_is_refused(gate: Gate[str], transaction: TransactionMetaData) -> None:
    gate.begin(transaction, "one")
    with pytest.raises(StorageTransactionError, match="called before"):
        gate.begin(transaction, "two")
    assert gate.changes(transaction) == "one"


def test_a_transaction_that_never_began_is_refused_everywhere(
    gate: Gate[str], transaction: TransactionMetaData
) -> None:
    gate.begin(TransactionMetaData(), "another one")
    calls: list[Callable[[], object]] = [
        lambda: gate.changes(transaction),
        lambda: gate.voting(transaction).__enter__(),
        lambda: gate.finishing(transaction).__enter__(),
    ]
    for call in calls:
        with pytest.raises(StorageTransactionError, match="call tpc_begin"):
            call()


def test_after_its_vote_a_transaction_takes_no_more(gate: Gate[str]) -> None:
    transaction = voted(gate)
    with pytest.raises(StorageTransactionError, match="voted"):
        gate.changes(transaction)
    with pytest.raises(StorageTransactionError, match="voted"):
        gate.voting(transaction).__enter__()


def test_without_a_vote_there_is_no_finish(
    gate: Gate[str], transaction: TransactionMetaData
) -> None:
    gate.begin(transaction, "changes")
    with pytest.raises(StorageTransactionError, match="begun"):
        gate.finishing(transaction).__enter__()


def test_one_transaction_at_a_time_is_between_vote_and_finish(gate: Gate[str]) -> None:
    order = []
    first = voted(gate)
    waiting = threading.Event()

    def second() -> None:
        transaction = TransactionMetaData()
        gate.begin(transaction, "changes")
        waiting.set()
        with gate.voting(transaction):
            order.append("second votes")
        gate.finishing(transaction).__enter__()

    thread = threading.Thread(target=second)
    thread.start()
    assert waiting.wait(10)
    with gate.finishing(first):
        order.append("first finishes")
    thread.join(10)

    assert order == ["first finishes", "second votes"]


def test_a_vote_that_fails_gives_the_lock_back_and_leaves_only_aborting(
    gate: Gate[str], transaction: TransactionMetaData
) -> None:
    gate.begin(transaction, "changes")
    with pytest.raises(LookupError), gate.voting(transaction):
        raise LookupError("a conflict, say")

    with pytest.raises(StorageTransactionError, match="failed its vote"):
        gate.finishing(transaction).__enter__()
    voted(gate)  # would wait for the lock for ever
    with gate.aborting(transaction) as known:
        assert known == ("changes", Phase.FAILED)


def test_aborting_gives_the_lock_back_and_forgets(gate: Gate[str]) -> None:
    transaction = voted(gate)
    with gate.aborting(transaction) as known:
        assert known == ("changes", Phase.VOTED)

    voted(gate)
    with pytest.raises(StorageTransactionError):
        gate.changes(transaction)


def test_aborting_gives_the_lock_back_if_an_interrupt_kept_the_vote_from_ending(
    gate: Gate[str], transaction: TransactionMetaData
) -> None:
    gate.begin(transaction, "changes")
    gate.voting(transaction).__enter__()  # and no __exit__
    with gate.aborting(transaction) as left:
        assert left == ("changes", Phase.BEGUN)

    again = threading.Thread(target=voted, args=(gate,), daemon=True)
    again.start()
    again.join(10)
    assert not again.is_alive()


def test_aborting_an_unknown_transaction_does_nothing(gate: Gate[str]) -> None:
    holder = voted(gate)
    with gate.aborting(TransactionMetaData()) as known:
        assert known is None
    assert gate.transaction is holder


def test_the_transaction_that_voted_goes_before_those_that_only_began(gate: Gate[str]) -> None:
    assert gate.transaction is None
    oldest = TransactionMetaData()
    gate.begin(oldest, "changes")
    assert gate.transaction is oldest
    assert gate.transaction is not voted(gate)


def test_tids_grow_when_the_clock_stands_still_or_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock.time, "time", lambda: 1_000_000.0)
    gate: Gate[str] = Gate(clock.tid_at(2_000_000.0))
    tid = gate.next_tid()
    gate.passed(tid)
    assert tid == after(clock.tid_at(2_000_000.0))
    assert gate.next_tid() == after(tid)


def test_a_tid_that_was_not_used_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.time, "time", lambda: 1_000_000.0)
    gate: Gate[str] = Gate()
    assert gate.next_tid() == gate.next_tid()


@pytest.mark.parametrize("wanted", [p64(7), p64(6), ZERO, b"short"])
def test_a_wanted_tid_must_be_later_than_all(wanted: bytes) -> None:
    gate: Gate[str] = Gate(p64(7))
    with pytest.raises(StorageTransactionError, match="tids must grow"):
        gate.next_tid(wanted)
    assert gate.next_tid(p64(8)) == p64(8)


def test_shut_it_lets_nobody_pass_but_who_aborts(
    gate: Gate[str], transaction: TransactionMetaData
) -> None:
    gate.begin(transaction, "changes")
    holder = voted(gate)
    gate.shut(lambda: StorageClosedError("closed"))

    calls: list[Callable[[], object]] = [
        lambda: gate.begin(TransactionMetaData(), "changes"),
        lambda: gate.changes(transaction),
        lambda: gate.voting(transaction).__enter__(),
        lambda: gate.finishing(holder).__enter__(),
    ]
    for call in calls:
        with pytest.raises(StorageClosedError):
            call()
    with gate.aborting(holder) as known:
        assert known == ("changes", Phase.VOTED)
    with pytest.raises(StorageClosedError), gate.exclusive():
        pass


def test_who_is_expelled_keeps_nobody_waiting(gate: Gate[str]) -> None:
    gate.expel()  # there is nobody
    holder = voted(gate)
    gate.expel()
    another = voted(gate)
    with pytest.raises(StorageTransactionError), gate.finishing(holder):
        pass
    with gate.aborting(holder) as known:
        assert known is None
    assert gate.transaction is another


def test_who_is_expelled_while_voting_keeps_nobody_waiting(
    gate: Gate[str], transaction: TransactionMetaData
) -> None:
    gate.begin(transaction, "changes")
    with gate.voting(transaction):
        gate.expel()
    voted(gate)


def test_who_waits_for_the_lock_when_it_is_shut_does_not_get_it(gate: Gate[str]) -> None:
    holder = voted(gate)
    caught: list[BaseException] = []
    waiting = threading.Event()

    def wait() -> None:
        transaction = TransactionMetaData()
        gate.begin(transaction, "changes")
        waiting.set()
        try:
            gate.voting(transaction).__enter__()
        except StorageClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)
    gate.shut(lambda: StorageClosedError("closed"))
    with gate.aborting(holder):
        pass
    thread.join(10)
    assert len(caught) == 1


def test_a_thread_that_would_wait_for_its_own_vote_is_refused(gate: Gate[str]) -> None:
    first, second = TransactionMetaData(), TransactionMetaData()
    gate.begin(first, "first")
    gate.begin(second, "second")
    with gate.voting(first):
        pass
    with pytest.raises(StorageTransactionError, match="takes part twice in one transaction"):
        gate.voting(second).__enter__()
    with gate.finishing(first):
        pass
    with gate.voting(second):
        pass
