"""A database in RelStorage on SQLite: commit, reopen, two processes, undo, pack, blobs.

python -m perdure.compat relstorage_program.py main|other DIRECTORY
"""

import subprocess
import sys

import pytest
import transaction
import ZODB
import ZODB.blob
from BTrees.OOBTree import OOBTree
from relstorage.adapters.sqlite.adapter import Sqlite3Adapter
from relstorage.options import Options
from relstorage.storage import RelStorage
from ZODB.POSException import ConflictError


def opened(directory: str) -> ZODB.DB:
    options = Options(keep_history=True, blob_dir=f"{directory}/blobs", shared_blob_dir=True)
    adapter = Sqlite3Adapter(f"{directory}/data", pragmas={}, options=options)
    return ZODB.DB(RelStorage(adapter, options=options))


def other(directory: str) -> None:
    """What the second process does."""
    db = opened(directory)
    with db.transaction() as connection:
        connection.root.tree["other"] = 1
    db.close()


def main(directory: str) -> None:
    db = opened(directory)
    with db.transaction("first") as connection:
        connection.root.tree = OOBTree({"a": 1})
        connection.root.blob = ZODB.blob.Blob(b"blob")
    db.close()

    db = opened(directory)
    manager = transaction.TransactionManager()
    connection = db.open(manager)
    assert dict(connection.root.tree) == {"a": 1}, "reopened"

    command = [sys.executable, "-W", "ignore", "-m", "perdure.compat", __file__]
    subprocess.run([*command, "other", directory], check=True, timeout=60)
    connection.sync()
    assert dict(connection.root.tree) == {"a": 1, "other": 1}, "the other process is seen"

    db.undo(db.undoLog(0, 1)[0]["id"], manager.get())
    manager.commit()
    assert dict(connection.root.tree) == {"a": 1}, "undone"
    db.pack()
    with connection.root.blob.open() as file:
        assert file.read() == b"blob"

    managers = transaction.TransactionManager(), transaction.TransactionManager()
    first, second = (db.open(each) for each in managers)
    first.root.tree["x"], second.root.tree["y"] = 1, 2
    for each in managers:
        each.commit()
    first.sync()
    assert dict(first.root.tree) == {"a": 1, "x": 1, "y": 2}, "a conflict is resolved"
    first.root.number, second.root.number = 1, 2
    managers[0].commit()
    with pytest.raises(ConflictError):
        managers[1].commit()
    managers[1].abort()

    past = db.open(at=db.lastTransaction())
    assert past.root.number == 1
    for each in (past, first, second, connection):
        each.close()
    db.close()
    print(ZODB.__file__)


if __name__ == "__main__":
    {"main": main, "other": other}[sys.argv[1]](sys.argv[2])
