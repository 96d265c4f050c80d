from pathlib import Path

import perdure
from perdure.tools import pack, past_revisions
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
