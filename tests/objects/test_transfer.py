import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import transaction
import ZODB
from BTrees.OOBTree import OOBTree
from persistent.wref import WeakRef

from perdure.errors import ExportError, POSKeyError
from perdure.ids import p64
from perdure.objects import Connection, Database
from samples.objects import Node, WithNewArgs


@pytest.fixture
def target(make_db: Callable[..., Database]) -> Connection:
    """A connection to another, empty database."""
    database = make_db(database_name="target")
    with database.transaction() as connection:
        connection.root.taken = [Node() for _ in range(5)]
    return database.open(transaction.TransactionManager())


def graph() -> Node:
    child = Node(name="child")
    tree = OOBTree({str(number): Node(number=number) for number in range(200)})
    root = Node(name="root", children=[child, child], tree=tree, args=WithNewArgs("x"))
    child.parent = root
    return root


def check(root: Any) -> None:
    assert root.name == "root"
    assert root.children[0] is root.children[1]
    assert root.children[0].parent is root
    assert [node.number for node in root.tree.values()] == [int(key) for key in root.tree]
    assert len(root.tree) == 200
    assert root.args.name == "x"


def exported(one: Connection, what: Any) -> IO[bytes]:
    one.root.what = what
    one.transaction_manager.commit()
    return in_memory(one)


def in_memory(one: Connection) -> IO[bytes]:
    file = io.BytesIO()
    assert one.exportFile(one.root.what._p_oid, file) is file
    file.seek(0)
    return file


def test_a_graph_moves_to_another_database(one: Connection, target: Connection) -> None:
    target.root.copy = target.importFile(exported(one, graph()))
    target.transaction_manager.commit()
    target.cacheMinimize()
    check(target.root.copy)
    other = target.db().open(transaction.TransactionManager())
    check(other.root.copy)


def test_an_import_is_a_copy_with_oids_of_its_own(one: Connection) -> None:
    file = exported(one, graph())
    one.root.copy = copy = one.importFile(file)
    one.transaction_manager.commit()
    assert copy._p_oid != one.root.what._p_oid
    copy.name = "changed"
    one.transaction_manager.commit()
    assert one.root.what.name == "root"


def test_an_import_goes_with_its_transaction(one: Connection, target: Connection) -> None:
    target.root.copy = copy = target.importFile(exported(one, graph()))
    oid = copy._p_oid
    target.transaction_manager.abort()
    assert "copy" not in target.root()
    with pytest.raises(POSKeyError):
        target.get(oid)


def test_an_import_can_be_rolled_back(one: Connection, target: Connection) -> None:
    file = exported(one, graph())
    savepoint = target.transaction_manager.savepoint()
    target.root.copy = target.importFile(file)
    savepoint.rollback()
    assert "copy" not in target.root()
    target.transaction_manager.commit()


def test_what_is_not_committed_but_saved_is_exported(one: Connection, target: Connection) -> None:
    one.root.what = graph()
    one.transaction_manager.savepoint()
    target.root.copy = target.importFile(in_memory(one))
    target.transaction_manager.commit()
    check(target.root.copy)


def test_a_weak_reference_within_the_export_still_leads_there(
    one: Connection, target: Connection
) -> None:
    node = Node(name="seen")
    target.root.copy = target.importFile(exported(one, Node(node=node, weak=WeakRef(node))))
    target.transaction_manager.commit()
    target.cacheMinimize()
    assert target.root.copy.weak() is target.root.copy.node


def test_a_weak_reference_out_of_the_export_leads_nowhere(
    one: Connection, target: Connection
) -> None:
    one.root.elsewhere = elsewhere = Node()
    target.root.copy = target.importFile(exported(one, Node(weak=WeakRef(elsewhere))))
    target.transaction_manager.commit()
    target.cacheMinimize()
    assert target.root.copy.weak() is None


def test_zodb_imports_what_we_export(one: Connection) -> None:
    file = exported(one, graph())
    theirs = ZODB.DB(None)
    connection = theirs.open()
    connection.root()["copy"] = connection.importFile(file)
    transaction.commit()
    connection.cacheMinimize()
    check(connection.root()["copy"])
    connection.close()
    theirs.close()


def test_we_import_what_zodb_exports(target: Connection) -> None:
    theirs = ZODB.DB(None)
    connection = theirs.open()
    connection.root()["what"] = graph()
    transaction.commit()
    with connection.exportFile(connection.root()["what"]._p_oid) as file:
        file.seek(0)
        target.root.copy = target.importFile(file)
    target.transaction_manager.commit()
    target.cacheMinimize()
    check(target.root.copy)
    connection.close()
    theirs.close()


def test_an_export_can_be_a_path(one: Connection, target: Connection, tmp_path: Path) -> None:
    one.root.what = graph()
    one.transaction_manager.commit()
    path = str(tmp_path / "graph.zexp")
    one.exportFile(one.root.what._p_oid, path).close()
    target.root.copy = target.importFile(path)
    target.transaction_manager.commit()
    check(target.root.copy)


def test_an_export_is_a_temporary_file_by_default(one: Connection, target: Connection) -> None:
    one.root.what = graph()
    one.transaction_manager.commit()
    with one.exportFile(one.root.what._p_oid) as file:
        target.root.copy = target.importFile(file)
    target.transaction_manager.commit()
    check(target.root.copy)


def test_every_truncation_of_an_export_is_noticed(one: Connection, target: Connection) -> None:
    whole = exported(one, Node(child=Node())).read()
    for size in range(len(whole)):
        with pytest.raises(ExportError, match=r"no export|cut short"):
            target.importFile(io.BytesIO(whole[:size]))
        target.transaction_manager.abort()
    assert target.importFile(io.BytesIO(whole)).child is not None
    target.transaction_manager.abort()


def test_what_is_no_export_is_named(target: Connection, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all,")
    with pytest.raises(ExportError, match=r"letter\.txt is no export: found b'Dear'"):
        target.importFile(str(path))


def test_other_formats_have_importers_of_their_own(target: Connection) -> None:
    def read_letter(connection: Connection, file: IO[bytes], clue: object) -> object:
        assert connection is target
        return file.read(), clue

    file = io.BytesIO(b"Dear all,")
    assert target.importFile(file, "a clue", {b"Dear": read_letter}) == (b"Dear all,", "a clue")


def test_exporting_what_does_not_exist_is_a_key_error(one: Connection) -> None:
    with pytest.raises(KeyError):
        one.exportFile(p64(4711))
