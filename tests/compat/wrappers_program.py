"""zc.zlibstorage and zc.beforestorage, unchanged: records compressed, and a database as it was.

python -m perdure.compat wrappers_program.py DIRECTORY
"""

import sys

import pytest
import transaction
import zc.beforestorage
import zc.zlibstorage
import ZODB
import ZODB.blob
import ZODB.config
import ZODB.FileStorage
import ZODB.utils
from BTrees.OOBTree import OOBTree
from ZODB.POSException import ConflictError, ReadOnlyError

CONFIGURATION = """
%import zc.zlibstorage
%import zc.beforestorage
<before>
  before now
  <zlibstorage>
    <filestorage>
      path {path}
    </filestorage>
  </zlibstorage>
</before>
"""


def compressed(directory: str) -> ZODB.DB:
    file = ZODB.FileStorage.FileStorage(f"{directory}/data.fs", blob_dir=f"{directory}/blobs")
    return ZODB.DB(zc.zlibstorage.ZlibStorage(file))


def compress(directory: str) -> None:
    db = compressed(directory)
    with db.transaction() as connection:
        connection.root.tree = OOBTree({"text": "long " * 1000})
        connection.root.blob = ZODB.blob.Blob(b"blob")
    stored, _serial = ZODB.utils.load_current(db.storage.base, b"\0" * 7 + b"\1")
    assert stored.startswith(b".z"), "what is in the file is compressed"
    assert len(stored) < 500

    managers = transaction.TransactionManager(), transaction.TransactionManager()
    one, two = (db.open(manager) for manager in managers)
    one.root.tree["a"], two.root.tree["b"] = 1, 2
    for manager in managers:
        manager.commit()
    one.sync()
    assert {"a", "b"} < set(one.root.tree), "compressed states are merged"
    one.root.number, two.root.number = 1, 2
    managers[0].commit()
    with pytest.raises(ConflictError):
        managers[1].commit()
    managers[1].abort()
    one.root.number = 3
    managers[0].commit()
    db.undo(db.undoLog(0, 1)[0]["id"], managers[0].get())
    managers[0].commit()
    one.sync()
    assert one.root.number == 1
    db.pack()
    one.root.number = 4
    managers[0].commit()
    for each in (one, two):
        each.close()
    db.close()


def look_back(directory: str) -> None:
    """Show the file as it was, by the constructor and by a configuration."""
    db = compressed(directory)
    before = ZODB.DB(zc.beforestorage.Before(db.storage, db.lastTransaction()))
    connection = before.open()
    assert connection.root.number == 1
    assert len(connection.root.tree["text"]) == 5000
    with connection.root.blob.open() as file:
        assert file.read() == b"blob"
    assert connection.isReadOnly()
    connection.root.number = 5
    with pytest.raises(ReadOnlyError):
        connection.transaction_manager.commit()
    connection.transaction_manager.abort()
    connection.close()
    before.close()

    text = CONFIGURATION.format(path=f"{directory}/data.fs")
    configured = ZODB.DB(ZODB.config.storageFromString(text))
    with configured.transaction() as connection:
        assert connection.root.number == 4
    configured.close()


def main(directory: str) -> None:
    compress(directory)
    look_back(directory)
    print(ZODB.__file__)


if __name__ == "__main__":
    main(sys.argv[1])
