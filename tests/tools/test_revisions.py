import pytest

import perdure
from perdure.errors import POSKeyError, StateLoadError
from perdure.ids import p64
from perdure.storages.memory import MappingStorage
from perdure.tools import difference, past_revisions, show
from samples.objects import Node
from samples.transactions import write


@pytest.fixture
def oid(db: perdure.DB) -> bytes:
    node = Node(tags=["sand"])
    for number, title in enumerate(["Dune", "Dune Messiah"]):
        with db.transaction(f"number {number}") as connection:
            connection.transaction_manager.get().user = "ada"
            if number == 0:
                connection.root.node = node
            connection.root.node.title = title
    return bytes(node._p_oid)


def test_an_object_is_shown_as_it_is(db: perdure.DB, oid: bytes) -> None:
    shown = show(db.storage, oid)
    assert shown.record["class"] == "samples.objects.Node"
    assert shown.record["state"] == {"tags": ["sand"], "title": "Dune Messiah"}
    assert shown.size_bytes == len(db.storage.load(oid)[0])
    assert shown.tid == db.storage.load(oid)[1]


def test_an_object_is_shown_as_it_was(db: perdure.DB, oid: bytes) -> None:
    _, oldest = past_revisions(db.storage, oid)
    assert show(db.storage, oid, oldest.tid).record["state"]["title"] == "Dune"
    with pytest.raises(POSKeyError):
        show(db.storage, oid, p64(1))


def test_its_revisions_are_told_newest_first(db: perdure.DB, oid: bytes) -> None:
    newest, oldest = past_revisions(db.storage, oid)
    assert [newest.description, oldest.description] == ["number 1", "number 0"]
    assert newest.user == "ada"
    assert newest.time >= oldest.time
    assert past_revisions(db.storage, oid, limit=1) == [newest]
    with pytest.raises(POSKeyError):
        past_revisions(db.storage, p64(77))


def test_a_difference_shows_the_lines_that_changed(db: perdure.DB, oid: bytes) -> None:
    newest, oldest = past_revisions(db.storage, oid)
    lines = difference(show(db.storage, oid, oldest.tid), show(db.storage, oid, newest.tid))
    assert [line for line in lines if line[0] in "+-"] == [
        '-    "title": "Dune"',
        '+    "title": "Dune Messiah"',
    ]
    assert difference(show(db.storage, oid), show(db.storage, oid)) == []


def test_a_damaged_record_says_whose_it_is() -> None:
    storage = MappingStorage()
    write(storage, {p64(5): b"damaged"})
    with pytest.raises(StateLoadError, match="oid 0x5"):
        show(storage, p64(5))
