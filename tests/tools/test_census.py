from contextlib import closing
from pathlib import Path

import pytest

import perdure
from perdure.ids import p64
from perdure.storages import FileStorage
from perdure.storages.memory import MappingStorage
from perdure.testing.contract.records import cell
from perdure.tools import DAMAGED, census, referrers
from samples.objects import Counter, Node
from samples.transactions import write


def test_every_class_is_counted_the_largest_first(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.nodes = [Node(text="x" * 1000) for _ in range(3)]
        connection.root.counter = Counter(5)
    rooms = census(db.storage)
    assert [(room.class_name, room.count) for room in rooms] == [
        ("samples.objects.Node", 3),
        ("persistent.mapping.PersistentMapping", 1),
        ("samples.objects.Counter", 1),
    ]
    sizes = [len(db.storage.load(p64(number))[0]) for number in range(5)]
    assert sum(room.size_bytes for room in rooms) == sum(sizes)


def test_old_revisions_count_when_asked_for(db: perdure.DB) -> None:
    for number in range(4):
        with db.transaction() as connection:
            connection.root.counter = connection.root().get("counter") or Counter()
            connection.root.counter.value = number
    (counter,) = [r for r in census(db.storage) if r.class_name.endswith("Counter")]
    (every,) = [
        r for r in census(db.storage, every_revision=True) if r.class_name.endswith("Counter")
    ]
    assert (counter.count, every.count) == (1, 4)


def test_the_past_can_be_counted(db: perdure.DB) -> None:
    then = db.lastTransaction()
    with db.transaction() as connection:
        connection.root.node = Node()
    assert [room.count for room in census(db.storage, then)] == [1]
    assert [room.count for room in census(db.storage, then, every_revision=True)] == [1]


def test_damaged_records_are_counted_as_such() -> None:
    storage = MappingStorage()
    write(storage, {p64(1): b"damaged"})
    assert [(r.class_name, r.count, r.size_bytes) for r in census(storage)] == [(DAMAGED, 1, 7)]


@pytest.mark.parametrize("hit", [(1,), (1, 2), (3,), (4, 5), (1, 2, 3, 4, 5)])
def test_records_whose_place_is_damaged_are_counted_as_such(
    tmp_path: Path, hit: tuple[int, ...]
) -> None:
    path = tmp_path / "app.fs"
    with closing(FileStorage(path)) as storage:
        tid = write(storage, {p64(number): cell(p64(9).decode()) for number in range(1, 6)})
    data = path.read_bytes()
    for number in hit:
        assert data.count(p64(number) + tid) == 1
        data = data.replace(p64(number) + tid, b"\xff" * 16)
    with closing(FileStorage(path, read_only=True)) as storage:
        path.write_bytes(data)
        rooms = {room.class_name: room.count for room in census(storage)}
        assert rooms.pop(DAMAGED) == len(hit)
        assert sum(rooms.values()) == 5 - len(hit)
        assert list(referrers(storage, p64(9))) == []  # goes through all of them


def test_progress_is_told(db: perdure.DB) -> None:
    told: list[tuple[int, int | None]] = []
    census(db.storage, progress=lambda done, total: told.append((done, total)))
    census(db.storage, every_revision=True, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1), (0, 0)]
