"""Conflicts: two transactions wanted the same object."""

import re
from typing import Any

import transaction.interfaces

from perdure.errors.root import POSError, dotted_name, tid_and_time
from perdure.ids import oid_repr


class ConflictError(POSError, transaction.interfaces.TransientError):
    """Two transactions wanted to change the same object; run this one again.

    `oid` and `class_name` name the object, `message` says what happened.
    `serials` is a pair of tids: the revision committed meanwhile, then the one
    that this transaction had read. Unknown facts are None.

    The object is given as `object` or as `oid`; its class by `object`, by
    `class_name`, or by `data`, a record that begins with the name of its class.
    """

    def __init__(
        self,
        message: str | None = None,
        object: Any = None,  # noqa: A002  ZODB's name for this argument
        oid: bytes | None = None,
        serials: tuple[bytes, bytes] | None = None,
        data: bytes | None = None,
        class_name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = "database conflict error" if message is None else message
        self.oid = oid
        self.class_name = class_name
        self.serials = serials
        if object is not None:
            self.oid = object._p_oid
            self.class_name = dotted_name(type(object))
        elif data is not None and class_name is None:
            self.class_name = _class_name_in(data)

    def __str__(self) -> str:
        facts = []
        if self.oid is not None:
            facts.append(f"oid {oid_repr(self.oid)}")
        if self.class_name is not None:
            facts.append(f"class {self.class_name}")
        if self.serials is not None:
            committed, read = self.serials
            facts.append(f"this transaction read revision {tid_and_time(read)}")
            facts.append(f"committed meanwhile is {tid_and_time(committed)}")
        return f"{self.message} ({', '.join(facts)})" if facts else self.message

    def get_oid(self) -> bytes | None:
        return self.oid

    def get_class_name(self) -> str | None:
        return self.class_name

    def get_old_serial(self) -> bytes:
        return self.get_serials()[1]

    def get_new_serial(self) -> bytes:
        return self.get_serials()[0]

    def get_serials(self) -> tuple[bytes, bytes]:
        if self.serials is None:
            raise ValueError("this conflict does not know its serials")
        return self.serials


class ReadConflictError(ConflictError):
    """An object that this transaction relied on was changed by another one, or came later."""

    def __init__(
        self,
        message: str | None = None,
        object: Any = None,  # noqa: A002  ZODB's name for this argument
        serials: tuple[bytes, bytes] | None = None,
        oid: bytes | None = None,
        data: bytes | None = None,
        class_name: str | None = None,
    ) -> None:
        super().__init__(
            "database read conflict error" if message is None else message,
            object=object,
            oid=oid,
            serials=serials,
            data=data,
            class_name=class_name,
        )


# By the number that BTrees' merge gives up with (`MergeTemplate.c`).
_BTREE_REASONS = (
    "a bucket was split, so the two cannot be lined up",
    "both changed the value of one key, differently",
    "the other transaction changed the value of a key that this one deleted",
    "this transaction changed the value of a key that the other one deleted",
    "both inserted one key, or both deleted it",
    "both deleted one key",
    "both inserted one key",
    "both deleted one key, or the other changed what this one deleted",
    "both deleted one key, or this one changed what the other deleted",
    "both deleted one key",
    "together they empty the bucket, which its tree would have to unlink",
    "an inner node of the tree changed, not just a bucket",
    "one of them left the bucket empty",
    "the first key was deleted, which changes the node above",
)


class BTreesConflictError(ConflictError):
    """Two transactions changed one BTree bucket in ways that do not merge.

    `p1`, `p2` and `p3` are the positions in the original, the committed and the
    new bucket at which merging gave up (-1: past the end); `reason` is BTrees'
    number for why.
    """

    msgs = _BTREE_REASONS

    def __init__(self, p1: int, p2: int, p3: int, reason: int) -> None:
        super().__init__()
        self.p1 = p1
        self.p2 = p2
        self.p3 = p3
        self.reason = reason

    def __repr__(self) -> str:
        return f"BTreesConflictError({self.p1}, {self.p2}, {self.p3}, {self.reason})"

    def __str__(self) -> str:
        known = 0 <= self.reason < len(self.msgs)
        why = self.msgs[self.reason] if known else f"reason {self.reason}"
        return f"BTrees conflict error at {self.p1}/{self.p2}/{self.p3}: {why}"


# PROTO, then perhaps MARK, then GLOBAL: how the class stands at the head of a record.
_CLASS_AT_HEAD = re.compile(rb"\x80.\(?c([^\n]+)\n([^\n]+)\n", re.DOTALL)


def _class_name_in(record: bytes) -> str | None:
    match = _CLASS_AT_HEAD.match(record)
    return b".".join(match.groups()).decode("utf-8", "replace") if match else None
