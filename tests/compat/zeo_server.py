"""A ZEO server for one file storage; prints its port, and ends with its standard input.

python [-m perdure.compat] zeo_server.py DATA_FILE BLOB_DIRECTORY
"""

import sys
import threading

import ZEO.StorageServer
import ZODB.FileStorage


def main(path: str, blob_dir: str) -> None:
    storage = ZODB.FileStorage.FileStorage(path, blob_dir=blob_dir)
    server = ZEO.StorageServer.StorageServer(("127.0.0.1", 0), {"1": storage})
    print(server.acceptor.addr[1], flush=True)
    loop = threading.Thread(target=server.loop, daemon=True)
    loop.start()
    sys.stdin.read()
    server.close()
    loop.join(20)


if __name__ == "__main__":
    main(*sys.argv[1:])
