import pytest
from BTrees.OOBTree import OOBTree

import perdure
from perdure.errors import PathError
from perdure.tools import OWN, Subtrees, subtrees
from samples.objects import Node
from samples.transactions import write


def counts(found: Subtrees) -> dict[str, int]:
    return {subtree.name: subtree.object_count for subtree in found.found}


def test_each_child_is_told_what_is_reached_from_it(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.one = Node(next=Node(next=Node()))
        connection.root.two = Node(text="x" * 5000)
    found = subtrees(db.storage)
    assert counts(found) == {"two": 1, "one": 3, OWN: 1}
    assert found.found[0].name == "two"
    assert found.object_count == len(db.storage) == 5
    sizes = {s.name: s.size_bytes for s in found.found}
    assert sizes[OWN] == len(db.storage.load(b"\0" * 8)[0])


def test_what_several_reach_is_counted_once_for_the_nearest(db: perdure.DB) -> None:
    shared = Node(text="shared")
    with db.transaction() as connection:
        connection.root.far = Node(next=Node(next=shared))
        connection.root.near = Node(shared=shared)
    assert counts(subtrees(db.storage)) == {"far": 2, "near": 2, OWN: 1}


def test_a_way_back_to_the_parent_is_not_followed(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.shelf = shelf = Node(books=[])
        connection.root.other = Node(text="elsewhere")
        shelf.books = [Node(parent=shelf, root=connection.root()) for _ in range(3)]
    assert counts(subtrees(db.storage, "/shelf")) == {OWN: 1, "books": 3}
    assert counts(subtrees(db.storage, "/shelf/books")) == {"0": 1, "1": 1, "2": 1}


def test_buckets_belong_to_their_tree(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.tree = OOBTree({f"{n:04}": Node(number=n) for n in range(500)})
    found = subtrees(db.storage, "/tree")
    assert found.object_count == len(db.storage) - 1  # all but the root
    assert counts(found)["0007"] == 1
    assert counts(found)[OWN] == found.object_count - 500
    assert counts(found)[OWN] > 10


def test_an_object_that_is_missing_is_told(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.node = node = Node(next=Node())
        connection.add(node)
    oid = node._p_oid
    with db.transaction() as connection:
        missing = connection.get(oid).next._p_oid
    transaction = perdure.interfaces.TransactionMetaData()
    db.storage.tpc_begin(transaction)
    db.storage.deleteObject(missing, db.storage.load(missing)[1], transaction)
    db.storage.tpc_vote(transaction)
    db.storage.tpc_finish(transaction)
    found = subtrees(db.storage)
    assert (found.missing, found.damaged) == ((missing,), ())
    write(db.storage, {oid: b"damaged"})
    assert subtrees(db.storage).damaged == (oid,)


def test_the_past_can_be_counted(db: perdure.DB) -> None:
    then = db.lastTransaction()
    with db.transaction() as connection:
        connection.root.node = Node()
    assert counts(subtrees(db.storage, at=then)) == {OWN: 1}


def test_a_path_that_leads_nowhere_is_an_error(db: perdure.DB) -> None:
    with pytest.raises(PathError):
        subtrees(db.storage, "/nowhere")
