"""A database in one file: ZODB's `Data.fs`, with checksums and group commit."""

from perdure.fileops import FileOperations
from perdure.storages.file.storage import FileStorage

__all__ = ["FileOperations", "FileStorage"]
