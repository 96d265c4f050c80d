"""`python -m ZODB.scripts.space`: what each class takes of a data file; see `perdure du`."""

import sys

from perdure.storages.file import FileStorage
from perdure.tools import census

__all__ = ["main"]


def main() -> None:
    """Print the records and bytes of each class, the largest first."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m ZODB.scripts.space FILE")
    storage = FileStorage(sys.argv[1], read_only=True)
    try:
        for room in census(storage, every_revision=False):
            print(f"{room.size_bytes:12} {room.count:10}  {room.class_name}")
    finally:
        storage.close()


if __name__ == "__main__":
    main()
