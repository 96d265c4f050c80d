"""Two clients of a ZEO server: commits, invalidations, conflicts, blobs, undo, pack.

python [-m perdure.compat] zeo_clients.py PORT DIRECTORY
"""

import sys

import pytest
import transaction
import ZEO
import ZODB
import ZODB.blob
import ZODB.interfaces
from BTrees.OOBTree import OOBTree
from ZODB.POSException import ConflictError, POSKeyError


def opened(port: int, directory: str) -> tuple[ZODB.DB, transaction.TransactionManager]:
    # With `server_sync`, a new transaction waits for what the server has told before.
    db = ZEO.DB(port, blob_dir=directory, wait_timeout=30, server_sync=True)
    return db, transaction.TransactionManager()


def main(port: int, directory: str) -> None:
    (one, first), (two, second) = (opened(port, f"{directory}/{name}") for name in "ab")
    a, b = one.open(first), two.open(second)

    a.root.tree, a.root.number = OOBTree(), 1
    first.commit()
    b.sync()
    assert b.root.number == 1, "the other client sees the commit"
    a.root.tree["x"] = 1
    first.commit()
    b.sync()
    assert dict(b.root.tree) == {"x": 1}, "its cache was told what to forget"

    a.root.number, b.root.number = 2, 3
    first.commit()
    with pytest.raises(ConflictError) as conflict:
        second.commit()
    second.abort()
    assert conflict.value.oid == b"\0" * 8
    assert conflict.value.class_name == "persistent.mapping.PersistentMapping"

    a.sync()
    a.root.tree["a"], b.root.tree["b"] = 1, 2
    first.commit()
    second.commit()
    a.sync()
    assert dict(a.root.tree) == {"x": 1, "a": 1, "b": 2}, "the conflict was resolved"

    with pytest.raises(POSKeyError) as missing:
        one.storage.loadBefore(b"\0" * 6 + b"\7\7", b"\x7f" + b"\xff" * 7)
    assert missing.value.args == (b"\0" * 6 + b"\7\7",)

    a.root.blob = ZODB.blob.Blob(b"sent to the server")
    first.commit()
    b.sync()
    with b.root.blob.open() as file:
        assert file.read() == b"sent to the server"

    assert ZODB.interfaces.IStorageUndoable.providedBy(one.storage)
    one.undo(one.undoLog(0, 1)[0]["id"], first.get())
    first.commit()
    b.sync()
    assert "blob" not in b.root()
    one.pack()
    assert len(list(one.storage.iterator())) > 0

    a.close()
    b.close()
    one.close()
    two.close()
    print(ZODB.__file__)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
