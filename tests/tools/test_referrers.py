from persistent.wref import WeakRef

import perdure
from perdure.ids import p64
from perdure.storages.memory import MappingStorage
from perdure.tools import Referrer, referrers
from samples.objects import Node
from samples.transactions import write


def test_everyone_who_refers_to_an_object_is_found(db: perdure.DB) -> None:
    target = Node(text="target")
    with db.transaction() as connection:
        connection.root.direct = target
        connection.root.twice = Node(here=target, there={"deep": [target]})
        connection.root.not_me = Node(text="nothing")
        connection.root.weak = Node(weak=WeakRef(target))
    with db.transaction() as connection:
        oids = {name: connection.root()[name]._p_oid for name in ("direct", "twice", "weak")}
    found = {referrer.oid: referrer for referrer in referrers(db.storage, oids["direct"])}
    node, mapping = "samples.objects.Node", "persistent.mapping.PersistentMapping"
    assert found == {
        p64(0): Referrer(p64(0), mapping, False, (".data.direct",)),
        oids["twice"]: Referrer(oids["twice"], node, False, (".here", ".there.deep[0]")),
        oids["weak"]: Referrer(oids["weak"], node, True, (".weak",)),
    }


def test_who_referred_to_it_once_is_found_in_the_past(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.node = node = Node()
        connection.add(node)
    oid, then = node._p_oid, db.lastTransaction()
    with db.transaction() as connection:
        del connection.root.node
    assert list(referrers(db.storage, oid)) == []
    assert [referrer.oid for referrer in referrers(db.storage, oid, then)] == [p64(0)]


def test_references_to_an_object_that_is_gone_are_found() -> None:
    storage = MappingStorage()
    write(storage, {p64(1): b"N.C\x08" + p64(9) + b"Q."})
    (referrer,) = referrers(storage, p64(9))
    assert referrer.oid == p64(1)


def test_references_that_stand_as_text_are_found() -> None:
    storage = MappingStorage()
    oid = b"\0\0\0\0\0\0\0\xe9"
    text = oid.decode("latin-1").encode()
    write(storage, {p64(1): b"N.X" + len(text).to_bytes(4, "little") + text + b"Q."})
    assert [referrer.oid for referrer in referrers(storage, oid)] == [p64(1)]


def test_bytes_that_look_like_an_oid_are_no_reference(db: perdure.DB) -> None:
    with db.transaction() as connection:
        connection.root.node = Node(raw=p64(9))
    assert list(referrers(db.storage, p64(9))) == []


def test_damaged_records_are_passed_over() -> None:
    storage = MappingStorage()
    write(storage, {p64(1): b"damaged" + p64(9)})
    assert list(referrers(storage, p64(9))) == []
