"""The seam to the operating system, where the modules of this package look for it."""

from perdure.fileops import FileOperations, write_all

__all__ = ["FileOperations", "write_all"]
