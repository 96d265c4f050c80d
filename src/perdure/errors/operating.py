"""Errors of the tools: addresses, paths, backups."""

from os import fspath

from perdure.errors.root import Path, POSError


class AddressError(POSError, ValueError):
    """A database address that cannot be understood.

    `address` is the whole of it, `part` the piece that is wrong, `reason` why,
    and `nearest` an address that would be right, or "".
    """

    def __init__(self, address: str, part: str, reason: str, nearest: str = "") -> None:
        super().__init__(address, part, reason, nearest)
        self.address = address
        self.part = part
        self.reason = reason
        self.nearest = nearest

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"address {self.address!r}: {self.part!r} {self.reason}{hint}"


class BackupError(POSError):
    """A file of a backup is missing or damaged, or a directory is not used for backups.

    `path` is the file or directory; `advice` says what to do, or is "".
    """

    def __init__(self, path: Path, found: str, expected: str, advice: str = "") -> None:
        super().__init__(path, found, expected, advice)
        self.path = fspath(path)
        self.found = found
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path}: found {self.found}, expected {self.expected}{advice}"


class PathError(POSError, LookupError):
    """A path from the root leads nowhere; `part` is the piece of it that does, `reason` why."""

    def __init__(self, path: str, part: str, reason: str) -> None:
        super().__init__(path, part, reason)
        self.path = path
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        return f"path {self.path!r}: {self.part!r} {self.reason}"
