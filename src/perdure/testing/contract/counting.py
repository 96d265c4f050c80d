"""A storage that counts what it does says so in numbers."""

from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, write

__all__ = ["MeasuredContract"]

A = b"\0" * 7 + b"\x01"


class MeasuredContract(Suite):
    """`counters` gives numbers by name, which only grow."""

    capability = "counting"

    def test_what_is_counted_has_a_name_and_only_grows(self, storage: AnyStorage) -> None:
        before = dict(storage.counters())

        write(storage, {A: cell(1)})

        after = dict(storage.counters())
        assert before.keys() <= after.keys()
        assert after
        assert all(isinstance(name, str) and name.isidentifier() for name in after)
        assert all(after[name] >= before.get(name, 0) >= 0 for name in after)
