import threading

from hypothesis import given
from hypothesis import strategies as st

from perdure.ids import p64
from perdure.mvcc import Announcement, Journal

ONE, TWO, THREE, FOUR = (p64(number) for number in range(1, 5))


def oids(*numbers: int) -> set[bytes]:
    return {p64(number) for number in numbers}


def test_a_reader_takes_what_was_appended_after_it_was_made() -> None:
    journal = Journal()
    journal.append(ONE, oids(1))
    reader = journal.reader()
    journal.append(TWO, oids(2))
    journal.append(THREE, oids(3))
    assert reader.take(THREE) == oids(2, 3)
    assert reader.take(THREE) == set()


def test_what_is_later_than_the_snapshot_waits_for_the_next_one() -> None:
    journal = Journal()
    reader = journal.reader()
    journal.append(ONE, oids(1))
    journal.append(TWO, oids(2))
    assert reader.take(ONE) == oids(1)
    assert reader.take(TWO) == oids(2)


def test_a_reader_is_not_told_of_its_own_commits() -> None:
    journal = Journal()
    mine, other = journal.reader(), journal.reader()
    journal.append(ONE, oids(1), mine)
    journal.append(TWO, oids(2), other)
    assert mine.take(TWO) == oids(2)
    assert other.take(TWO) == oids(1)


def test_who_has_taken_all_before_its_own_commit_has_that_behind_it_at_once() -> None:
    journal = Journal()
    reader = journal.reader()
    journal.append(ONE, oids(1), reader)
    assert reader.position == journal.end


def test_who_commits_before_taking_what_others_did_is_still_told_of_it() -> None:
    journal = Journal()
    reader = journal.reader()
    journal.append(ONE, oids(1))
    journal.append(TWO, oids(2), reader)
    journal.append(THREE, oids(3))
    assert reader.take(TWO) == oids(1)
    assert reader.take(THREE) == oids(3)


def test_everything_is_none() -> None:
    journal = Journal()
    reader = journal.reader()
    journal.append(ONE, oids(1))
    journal.append_everything(ONE)
    assert reader.take(TWO) is None
    assert reader.take(TWO) == set()


def test_a_reader_that_fell_behind_the_limit_is_told_everything() -> None:
    journal = Journal(limit=10)
    behind, ahead = journal.reader(), journal.reader()
    for number in range(1, 100):
        journal.append(p64(number), oids(number))
        assert ahead.take(p64(number)) == oids(number)
    assert behind.take(p64(100)) is None
    journal.append(p64(101), oids(7))
    assert behind.take(p64(101)) == oids(7)


def test_the_journal_stays_small_when_all_readers_read() -> None:
    journal = Journal()
    reader = journal.reader()
    for number in range(1, 10_000):
        journal.append(p64(number), oids(number))
        reader.take(p64(number))
    assert len(journal._entries) <= 64


def test_a_reader_that_is_gone_holds_nothing_up() -> None:
    journal = Journal()
    reader = journal.reader()
    del reader
    for number in range(1, 1000):
        journal.append(p64(number), oids(number))
    assert len(journal._entries) <= 64


def test_a_reader_that_is_gone_holds_nothing_up_though_it_committed() -> None:
    journal = Journal()
    gone = journal.reader()
    journal.append(ONE, oids(1), gone)
    del gone
    for number in range(2, 1000):
        journal.append(p64(number), oids(number))
    assert len(journal._entries) <= 64


@given(
    limit=st.integers(1, 20),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(-1, 2), st.sets(st.integers(0, 9))),
            st.tuples(st.just("take"), st.integers(0, 2), st.integers(0, 5)),
        ),
        max_size=200,
    ),
)
def test_no_reader_ever_misses_an_oid(limit: int, steps: list[tuple[str, int, object]]) -> None:
    """Against a model that gives each reader a list of its own."""
    journal = Journal(limit)
    readers = [journal.reader() for _ in range(3)]
    pending: list[list[tuple[bytes, set[bytes]]]] = [[], [], []]
    tid = 0
    for step, who, what in steps:
        if step == "append":
            assert isinstance(what, set)
            tid += 1
            changed = {p64(number) for number in what}
            journal.append(p64(tid), changed, readers[who] if who >= 0 else None)
            for number, queue in enumerate(pending):
                if number != who:
                    queue.append((p64(tid), changed))
        else:
            assert isinstance(what, int)
            upto = p64(max(tid - what, 0))
            expected = {oid for at, changed in pending[who] if at <= upto for oid in changed}
            taken = readers[who].take(upto)
            if taken is not None:
                assert taken == expected
                pending[who] = [entry for entry in pending[who] if entry[0] > upto]
            else:
                # Everything was forgotten: nothing up to here can be missed any more.
                pending[who] = [entry for entry in pending[who] if entry[0] > upto]


def test_an_announcement_tells_a_journal_of_a_commit_from_any_thread() -> None:
    journal = Journal()
    mine, other = journal.reader(), journal.reader()
    announce = Announcement(journal, {p64(1), p64(2)}, mine)
    thread = threading.Thread(target=announce, args=(p64(7),))
    thread.start()
    thread.join(10)
    assert other.take(p64(6)) == set()
    assert other.take(p64(7)) == {p64(1), p64(2)}
    assert mine.take(p64(7)) == set()
