"""Perdure's layers behind ZEO: each serves a client that commits, reads and asks what ZEO asks.

python -m perdure.compat served_program.py DIRECTORY
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import transaction
import ZEO
import ZEO.StorageServer
import ZODB
import ZODB.blob
from ZODB.POSException import UndoError

import perdure
from perdure.records.compression import Compression
from perdure.storages import BeforeStorage, ReadOnlyStorage, ReplicatingStorage, TransformingStorage


def file(directory: str, name: str) -> Any:
    return perdure.FileStorage(f"{directory}/{name}.fs")


WRITABLE: dict[str, Callable[[str], Any]] = {
    "demo": lambda directory: perdure.DemoStorage(),
    "memory": lambda directory: perdure.MappingStorage(),
    "transforming": lambda directory: TransformingStorage(
        file(directory, "transformed"), Compression("zlib")
    ),
    "replicating": lambda directory: ReplicatingStorage(
        file(directory, "primary"), file(directory, "backup")
    ),
}


def served(storage: Any, use: Callable[[ZODB.DB], None], **options: Any) -> None:
    server = ZEO.StorageServer.StorageServer(("127.0.0.1", 0), {"1": storage})
    loop = threading.Thread(target=server.loop, daemon=True)
    loop.start()
    db = ZEO.DB(server.acceptor.addr[1], wait_timeout=30, **options)
    use(db)
    db.close()
    server.close()
    loop.join(20)


def change(db: ZODB.DB) -> None:
    manager = transaction.TransactionManager()
    connection = db.open(manager)
    for number in (1, 2):
        connection.root.number = number
        manager.commit()
    assert db.storage.getTid(b"\0" * 8) == connection.root()._p_serial
    if db.supportsUndo():
        db.undo(db.undoLog(1, 2)[0]["id"], manager.get())
        try:
            manager.commit()
        except UndoError:
            manager.abort()
        else:
            raise AssertionError("what was changed later was undone")
    connection.close()


def look(db: ZODB.DB) -> None:
    with db.transaction() as connection:
        assert connection.root.number == 2
        assert db.storage.getTid(b"\0" * 8) == connection.root()._p_serial


def share_blobs(db: ZODB.DB) -> None:
    with db.transaction() as connection:
        connection.root.blob = ZODB.blob.Blob(b"written by the client")
    with db.transaction() as connection, connection.root.blob.open() as file:
        assert file.read() == b"written by the client"


def main(directory: str) -> None:
    for make in WRITABLE.values():
        served(make(directory), change)
    for layer in (ReadOnlyStorage, BeforeStorage):
        served(layer(file(directory, "primary")), look, read_only=True)
    blobs = f"{directory}/blobs"
    storage = perdure.FileStorage(f"{directory}/shared.fs", blob_dir=blobs)
    served(storage, share_blobs, blob_dir=blobs, shared_blob_dir=True)
    print(ZODB.__file__)


if __name__ == "__main__":
    main(sys.argv[1])
