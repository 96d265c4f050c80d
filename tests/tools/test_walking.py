from collections import OrderedDict
from typing import Any

import pytest
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

import perdure
from perdure.errors import PathError, StateLoadError
from perdure.ids import ROOT_OID, p64
from perdure.tools import Moment, children, find, steps
from samples.objects import Node
from samples.transactions import write
from samples.vanishing import vanishing_class


def stored(db: perdure.DB, **names: Any) -> Moment:
    with db.transaction() as connection:
        connection.root().update(names)
    return Moment(db.storage)


def names(moment: Moment, path: str) -> list[str]:
    return [child.name for child in children(moment, find(moment, path))]


def test_the_root_is_where_a_path_starts(db: perdure.DB) -> None:
    moment = stored(db, a=1)
    for path in ("", "/", "//"):
        place = find(moment, path)
        assert (place.oid, place.class_name) == (ROOT_OID, "persistent.mapping.PersistentMapping")
    assert find(moment, "a").value == find(moment, "/a/").value == 1


def test_a_path_goes_through_mappings_lists_and_attributes(db: perdure.DB) -> None:
    book = Node(title="Dune", tags=["sand", ("spice", {"deep": 42})])
    moment = stored(db, shelf=PersistentMapping({"books": PersistentList([book])}))
    assert find(moment, "/shelf/books/0").class_name == "samples.objects.Node"
    assert find(moment, "/shelf/books/0/title").value == "Dune"
    assert find(moment, "/shelf/books/0/tags/1/1/deep").value == 42
    assert names(moment, "/shelf/books/0") == ["title", "tags"]
    assert names(moment, "/shelf/books/0/tags") == ["0", "1"]


def test_a_value_inside_belongs_to_its_object(db: perdure.DB) -> None:
    moment = stored(db, node=Node(tags=["a"]))
    inner, node = find(moment, "/node/tags"), find(moment, "/node")
    assert (inner.oid, inner.tid, inner.class_name) == (node.oid, node.tid, None)


def test_classes_are_not_imported(db: perdure.DB) -> None:
    with vanishing_class("Book") as book_class:
        book: Any = book_class()
        book.title = "gone"
        moment = stored(db, book=book)
    place = find(moment, "/book")
    assert place.class_name == "samples_that_vanished.Book"
    assert find(moment, "/book/title").value == "gone"


def test_names_that_are_listed_lead_there(db: perdure.DB) -> None:
    keys: list[Any] = [
        "plain", "with space", "a/b", "it's", '"quoted"', ".dotted", "", "12", 12, "b'x'", b"x",
        (1, "a"), None, "None", 1.5, "tab\t", "ü", "0x1a", True,
    ]  # fmt: skip
    moment = stored(db, holder=Node(inner={key: n for n, key in enumerate(keys)}))
    listed = list(children(moment, find(moment, "/holder/inner")))
    assert [child.value for child in listed] == list(range(len(keys)))
    for child in listed:
        assert find(moment, f"/holder/inner/{child.name}").value == child.value, child.name


def test_a_key_is_found_before_an_attribute_of_the_same_name(db: perdure.DB) -> None:
    mapping = PersistentMapping({"title": "item"})
    mapping.title = "attribute"
    moment = stored(db, mapping=mapping)
    assert find(moment, "/mapping/title").value == "item"
    assert find(moment, "/mapping/.title").value == "attribute"
    kinds = [(c.name, c.kind) for c in children(moment, find(moment, "/mapping"))]
    assert kinds == [("title", "item"), ("title", "attribute")]


def test_a_number_is_found_before_the_text_that_looks_like_it(db: perdure.DB) -> None:
    moment = stored(db, node=Node(inner={"1": "text", 1: "number"}))
    assert find(moment, "/node/inner/1").value == "number"
    assert find(moment, "/node/inner/'1'").value == "text"
    moment = stored(db, node=Node(inner={"1": "text"}))
    assert find(moment, "/node/inner/1").value == "text"


def test_a_path_can_start_at_an_oid(db: perdure.DB) -> None:
    moment = stored(db, node=Node(title="Dune"))
    oid = find(moment, "/node").oid
    assert find(moment, f"0x{oid.hex()}/title").value == "Dune"
    assert steps("/0x1a") == (ROOT_OID, ["0x1a"])
    assert steps("0x1a") == (p64(26), [])


def test_objects_inside_a_state_have_attributes_and_items(db: perdure.DB) -> None:
    # Not persistent, so stored inside.
    with vanishing_class("Point", object) as point_class:
        point: Any = point_class()
        point.x = 3
        moment = stored(db, node=Node(point=point, ordered=OrderedDict(a=1)))
    assert find(moment, "/node/point/x").value == 3
    assert find(moment, "/node/ordered/a").value == 1
    (child,) = [c for c in children(moment, find(moment, "/node")) if c.name == "point"]
    assert child.class_name == "samples_that_vanished.Point"


def test_a_weak_reference_can_be_followed(db: perdure.DB) -> None:
    target = Node(title="target")
    moment = stored(db, target=target, node=Node(weak=WeakRef(target)))
    assert names(moment, "/node") == ["weak"]


def test_the_past_can_be_walked(db: perdure.DB) -> None:
    stored(db, a="old")
    then = db.lastTransaction()
    stored(db, a="new")
    assert find(Moment(db.storage, then), "/a").value == "old"


def test_a_name_that_leads_nowhere_says_what_is_there(db: perdure.DB) -> None:
    moment = stored(db, shelf=PersistentMapping(dict.fromkeys("abcdefgh")))
    with pytest.raises(PathError) as caught:
        find(moment, "/shelf/x/y")
    assert str(caught.value) == (
        "path '/shelf/x/y': 'x' is not in /shelf: "
        "persistent.mapping.PersistentMapping with a, b, c, d, e, ..."
    )
    with pytest.raises(PathError, match=r"'b' is not in /shelf/a: a value with nothing in it"):
        find(moment, "/shelf/a/b")


def test_quotes_that_do_not_end_are_an_error(db: perdure.DB) -> None:
    with pytest.raises(PathError, match="name in quotes"):
        find(stored(db), "/'a'b")


def test_a_reference_to_nothing_is_an_error(db: perdure.DB) -> None:
    moment = stored(db, node=Node())
    with pytest.raises(PathError, match="no object with oid 0x77"):
        find(moment, "0x77/title")


def test_a_damaged_record_names_its_object(db: perdure.DB) -> None:
    moment = stored(db, node=Node())
    oid = find(moment, "/node").oid
    write(db.storage, {oid: b"damaged"})
    with pytest.raises(StateLoadError, match="oid 0x1"):
        find(Moment(db.storage), "/node")


def test_another_database_is_not_entered(db: perdure.DB) -> None:
    databases: dict[str, Any] = {}
    one = perdure.DB(None, database_name="one", databases=databases)
    two = perdure.DB(None, database_name="two", databases=databases)
    with one.transaction() as connection:
        other = connection.get_connection("two")
        other.root.far = far = Node(title="far")
        other.add(far)
        connection.root.far = far
    moment = Moment(one.storage)
    (child,) = children(moment, find(moment, "/"))
    assert (child.oid, child.class_name) == (None, "samples.objects.Node")
    with pytest.raises(PathError, match="'title' is in the database 'two'"):
        find(moment, "/far/title")
    one.close()
    two.close()
