"""The revisions of one object as plain data, and what changed between two of them."""

import difflib
import json
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from perdure.tools.moment import Moment, datetime_of
from perdure.tools.plainvalues import Plain
from perdure.tools.walking import record_at

__all__ = ["PastRevision", "ShownRevision", "difference", "past_revisions", "show"]

_ALL_REVISIONS: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class ShownRevision:
    """One revision of an object; `record` has its "class", perhaps "arguments", and "state".

    What these look like says `records.plain_record`. `size_bytes` is the record's.
    """

    oid: bytes
    tid: bytes
    size_bytes: int
    record: dict[str, Plain]


@dataclass(frozen=True, slots=True)
class PastRevision:
    """When a revision was written, by whom, and how large its record is."""

    tid: bytes
    user: str
    description: str
    size_bytes: int

    @property
    def time(self) -> datetime:
        """When it was committed, in UTC."""
        return datetime_of(self.tid)


def show(storage: Any, oid: bytes, at: bytes | None = None) -> ShownRevision:
    """Return an object as it was at the tid `at`, that transaction included; by default now.

    Raises `POSKeyError` if there was none, and `StateLoadError` if its record is damaged.
    """
    record, loaded = record_at(Moment(storage, at), oid)
    return ShownRevision(oid, loaded.tid, len(loaded.data), record)


def past_revisions(storage: Any, oid: bytes, limit: int | None = None) -> list[PastRevision]:
    """Return the revisions of an object, newest first; `POSKeyError` if it is not known."""
    return [
        PastRevision(
            tid=entry["tid"],
            user=_text(entry["user_name"]),
            description=_text(entry["description"]),
            size_bytes=entry["size"],
        )
        for entry in storage.history(oid, size=limit or _ALL_REVISIONS)
    ]


def difference(old: ShownRevision | None, new: ShownRevision | None) -> list[str]:
    """Return what changed as lines: those of `old` alone with "-", those of `new` with "+".

    Lines that both have stand around them as context. There are none where
    nothing changed. None stands for an object that was not there yet, or is gone.
    """
    lines = difflib.unified_diff(_lines(old), _lines(new), lineterm="", n=3)
    return list(islice(lines, 2, None))  # behind the names of the files, which have none


def _lines(revision: ShownRevision | None) -> list[str]:
    if revision is None:
        return []
    return json.dumps(revision.record, indent=2, ensure_ascii=False).splitlines()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
