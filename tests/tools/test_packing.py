from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.errors import Unsupported
from perdure.storages.layers import compressed
from perdure.storages.replicating import ReplicatingStorage
from perdure.tools import estimate_pack, pack, past_revisions
from samples.objects import Node


def test_a_pack_drops_old_revisions_and_garbage(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "app.fs") as db:
        for number in range(5):
            with db.transaction() as connection:
                connection.root.node = Node(number=number)
        packed = pack(db)
        assert packed.size_after == db.getSize() < packed.size_before
        assert (packed.objects_before, packed.objects_after) == (6, 2)


def test_what_is_needed_at_a_moment_stays(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "app.fs") as db:
        moments = []
        for number in range(4):
            with db.transaction() as connection:
                connection.root.number = number
            moments.append(db.lastTransaction())
        pack(db, moments[2])
        kept = [revision.tid for revision in past_revisions(db.storage, b"\0" * 8)]
        assert kept == moments[:0:-1]  # and what was current a microsecond before


def test_days_go_back_from_there(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "app.fs") as db:
        for number in range(3):
            with db.transaction() as connection:
                connection.root.number = number
        pack(db, days=1)
        assert len(past_revisions(db.storage, b"\0" * 8)) == 4


def test_what_a_pack_would_drop_is_told(tmp_path: Path) -> None:
    with perdure.DB(tmp_path / "app.fs") as db:
        for number in range(5):
            with db.transaction() as connection:
                connection.root.node = Node(number=number)
        size = db.getSize()
        estimate = estimate_pack(db)
        assert (estimate.objects, db.getSize()) == (4, size)
        assert estimate_pack(db, days=1).objects == 0
        assert pack(db).objects_after == 2
        assert estimate_pack(db).objects == 0


def test_only_a_data_file_can_tell_what_a_pack_would_drop(db: perdure.DB) -> None:
    with pytest.raises(Unsupported, match="cannot tell"):
        estimate_pack(db)
    assert pack(db).objects_after == 1


def replicated(storage: Any) -> Any:
    return ReplicatingStorage(storage, perdure.MappingStorage())


def zipped(storage: Any) -> Any:
    return compressed(storage, "zlib")


@pytest.mark.parametrize(
    "layers", [(), (zipped,), (replicated,), (replicated, zipped), (zipped, replicated)]
)
def test_progress_of_a_data_file_is_told_through_layers(
    tmp_path: Path, layers: tuple[Callable[[Any], Any], ...]
) -> None:
    told: list[tuple[int, int | None]] = []
    storage: Any = perdure.FileStorage(tmp_path / "app.fs")
    for layer in layers:
        storage = layer(storage)
    with perdure.DB(storage) as db:
        for number in range(5):
            with db.transaction() as connection:
                connection.root.number = number
        pack(db, progress=lambda done, total: told.append((done, total)))
    assert told
    assert all(total is not None and 0 <= done <= total for done, total in told)
