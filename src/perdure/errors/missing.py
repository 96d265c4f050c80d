"""Errors about an object, or its blob, that is not there."""

from os import fspath

import transaction.interfaces

from perdure.errors.root import Path, POSError
from perdure.ids import oid_repr, tid_repr


class POSKeyError(POSError, KeyError):
    """No record with this oid can be seen.

    `oid` is what was looked for. Where the object was reached through another
    one, `referrer_oid` and `referrer_class` name that object; `class_name` is
    the class that the reference recorded. Each is None where it is unknown.
    """

    class_name: str | None = None
    referrer_oid: bytes | None = None
    referrer_class: str | None = None

    def __init__(
        self,
        oid: bytes | None = None,
        *more: object,
        class_name: str | None = None,
        referrer_oid: bytes | None = None,
        referrer_class: str | None = None,
    ) -> None:
        super().__init__(oid, *more)
        # Only what is known: servers send an error by its attributes where it has any,
        # and by its arguments where it has none, which is what ZODB's error has.
        facts = {
            "class_name": class_name,
            "referrer_oid": referrer_oid,
            "referrer_class": referrer_class,
        }
        self.__dict__.update({name: fact for name, fact in facts.items() if fact is not None})

    @property
    def oid(self) -> bytes | None:
        oid: bytes | None = self.args[0] if self.args else None
        return oid

    def __str__(self) -> str:
        text = f"no object with oid {oid_repr(self.oid)}"
        if self.class_name is not None:
            text += f" (class {self.class_name})"
        if self.referrer_oid is not None:
            text += f", referred to by oid {oid_repr(self.referrer_oid)}"
            if self.referrer_class is not None:
                text += f" (class {self.referrer_class})"
        return text


class MissingBlobError(POSKeyError):
    """A blob has no file for this revision: `oid`, `tid`, and the `path` that was looked at."""

    def __init__(self, oid: bytes, tid: bytes, path: Path) -> None:
        super().__init__(oid, tid, path)
        self.tid = tid
        self.path = fspath(path)

    def __str__(self) -> str:
        return (
            f"{self.path}: found no file, expected the blob of oid {oid_repr(self.oid)} as the "
            f"transaction {tid_repr(self.tid)} wrote it; bring it back from a backup, "
            "unless that revision was packed away"
        )


class DanglingReferenceError(POSError, transaction.interfaces.TransactionError):
    """An object refers to an object that is gone: `referer` to `missing`."""

    def __init__(self, referer: bytes, missing: bytes) -> None:
        super().__init__(referer, missing)
        self.referer = referer
        self.missing = missing

    def __str__(self) -> str:
        return (
            f"from oid {oid_repr(self.referer)} to oid {oid_repr(self.missing)}, "
            "which does not exist"
        )
