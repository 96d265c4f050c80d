"""Walking the current records, one call at a time."""

from perdure.capabilities import capabilities_of
from perdure.ids import p64
from perdure.testing.contract.records import cell
from perdure.testing.contract.suite import Suite
from perdure.testing.contract.transactions import AnyStorage, undo, undo_id, write

__all__ = ["RecordIterationContract"]


class RecordIterationContract(Suite):
    """`record_iternext` leads through every object that there is."""

    capability = "record_iteration"

    def _walk(self, storage: AnyStorage) -> dict[bytes, tuple[bytes, bytes]]:
        seen: dict[bytes, tuple[bytes, bytes]] = {}
        cookie = None
        while True:
            oid, tid, data, cookie = storage.record_iternext(cookie)
            assert oid not in seen, "the walk runs in a circle"
            seen[oid] = (tid, data)
            if cookie is None:
                return seen

    def test_the_walk_yields_each_object_once_as_it_is_now(self, storage: AnyStorage) -> None:
        first = write(storage, {p64(n): cell(n) for n in range(50)}).tid
        second = write(storage, {p64(n): cell(-n) for n in range(0, 50, 7)}).tid

        seen = self._walk(storage)

        for n in range(50):
            expected = (second, cell(-n)) if n % 7 == 0 else (first, cell(n))
            assert seen[p64(n)] == expected
        if self.starts_empty:
            assert len(seen) == 50

    def test_one_object_is_the_first_and_the_last(self, storage: AnyStorage) -> None:
        tid = write(storage, {p64(7): cell(7)}).tid

        assert self._walk(storage)[p64(7)] == (tid, cell(7))

    def test_the_walk_goes_on_during_commits(self, storage: AnyStorage) -> None:
        write(storage, {p64(n): cell(n) for n in range(10)})
        oid, _, _, cookie = storage.record_iternext()
        seen = {oid}

        write(storage, {p64(n): cell(-n) for n in range(10)})
        while cookie is not None:
            oid, _, _, cookie = storage.record_iternext(cookie)
            seen.add(oid)

        assert {p64(n) for n in range(10)} <= seen

    def test_objects_that_are_gone_are_left_out(self, storage: AnyStorage) -> None:
        write(storage, {p64(1): cell(1), p64(5): cell(5)})
        if capabilities_of(storage).undo:
            for n in (0, 3, 9):  # before the first, in the middle, after the last
                write(storage, {p64(n): cell(n)})
                undo(storage, undo_id(storage))

        assert {p64(n) for n in (0, 1, 3, 5, 9)} & self._walk(storage).keys() == {p64(1), p64(5)}
