"""Who refers to an object: the records of the whole database, looked through."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from perdure.errors import CorruptDataError, StateLoadError, TransformError
from perdure.records import all_references, plain_record
from perdure.tools.census import class_of
from perdure.tools.moment import Moment
from perdure.tools.plainvalues import places_of
from perdure.tools.progress import Progress

__all__ = ["Referrer", "referrers"]


@dataclass(frozen=True, slots=True)
class Referrer:
    """An object that refers to another one.

    `weak` is true if it only has weak references to it. `places` say where in its
    state they stand: ``.data['books']``.
    """

    oid: bytes
    class_name: str
    weak: bool
    places: tuple[str, ...]


def referrers(
    storage: Any, oid: bytes, at: bytes | None = None, progress: Progress | None = None
) -> Iterator[Referrer]:
    """Yield the objects that refer to `oid`, as of the tid `at`, by default now.

    The object itself need not exist any more. Records that are damaged are taken
    for ones without references. `progress` counts objects.

    Raises `Unsupported` if the storage cannot list its records.
    """
    # An oid stands in a record as it is, or as text where Python 3 wrote it without zodbpickle.
    as_bytes, as_text = oid, oid.decode("latin-1").encode()
    for referrer, loaded in Moment(storage, at).records(progress, _pass_over):
        data = loaded.data
        # Nearly no record has it: not to unpickle those saves most of the time.
        if as_bytes in data or as_text in data:
            found = _reference(referrer, data, oid)
            if found is not None:
                yield found


def _pass_over(error: CorruptDataError | TransformError) -> None:
    if not isinstance(error, CorruptDataError):
        raise error  # with the wrong key, nothing would be found


def _reference(referrer: bytes, data: bytes, oid: bytes) -> Referrer | None:
    try:
        found = [
            reference
            for reference in all_references(data)
            if reference.oid == oid and reference.database_name is None
        ]
        if not found:
            return None
        places = tuple(dict.fromkeys(places_of(oid, plain_record(data)["state"])))
    except StateLoadError:
        return None
    weak = all(reference.weak for reference in found)
    return Referrer(referrer, class_of(data), weak, places)
