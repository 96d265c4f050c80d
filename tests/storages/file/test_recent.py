from perdure.ids import p64
from perdure.storages.file.recent import RecentTransactions


def test_a_position_belongs_to_the_transaction_that_begins_before_it() -> None:
    recent = RecentTransactions()
    recent.add(100, p64(1))
    recent.add(300, p64(2))
    assert [recent.tid_at(position) for position in (100, 142, 299, 300, 9_000)] == [
        p64(1),
        p64(1),
        p64(1),
        p64(2),
        p64(2),
    ]


def test_what_was_committed_before_is_not_known() -> None:
    recent = RecentTransactions()
    assert recent.tid_at(50) is None
    recent.add(100, p64(1))
    assert recent.tid_at(99) is None


def test_the_older_ones_are_forgotten() -> None:
    recent = RecentTransactions(limit=4)
    for number in range(10):
        recent.add(100 * number, p64(number))
        assert recent.tid_at(100 * number + 50) == p64(number)
    assert recent.tid_at(150) is None
    assert recent.tid_at(850) == p64(8)
