"""The first pickle of a record: the class of the object, and the arguments to make it.

    class                           what is written for most objects
    (class, arguments)              the class has `__getnewargs__`
    ((module, name), arguments)     an object whose class is itself persistent
    ((module, name), None)          the same, without `__getnewargs__`

Older records also have (class, None). Nearly all are the first form, which is
recognised by its bytes.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from perdure import native
from perdure.errors import StateLoadError
from perdure.records.codec import FindGlobal
from perdure.records.inert import class_name_of, load_inert, text
from perdure.records.references import parse_reference

__all__ = [
    "ClassMetadata",
    "class_and_arguments",
    "class_at_head",
    "class_metadata",
    "class_name",
    "plain_head",
    "pure_class_at_head",
]

# PROTO, GLOBAL, perhaps BINPUT, STOP.
_HEAD: Final = re.compile(rb"\x80.c([^\n]+)\n([^\n]+)\n(?:q.)?\.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ClassMetadata:
    """What a record says about the class, without importing it.

    `class_name` is "module.name" as it stands on disk, or None where the class is
    a persistent object itself. `arguments` are those of `__new__`, with inert
    values in place of objects, or None where there are none.
    """

    class_name: str | None
    arguments: Any = None


def pure_class_at_head(record: bytes) -> tuple[str, str] | None:
    """Return the module and name of the class where a record has the plain form, else None."""
    head = _HEAD.match(record)
    if head is None:
        return None
    try:
        return head[1].decode(), head[2].decode()
    except UnicodeDecodeError:
        return None


def plain_head(record: bytes) -> bytes | None:
    """Return the first pickle of a record where it has the plain form, else None."""
    head = _HEAD.match(record)
    return None if head is None else head[0]


class_at_head = native.scanner.class_at_head if native.scanner else pure_class_at_head


def class_metadata(record: bytes) -> ClassMetadata:
    """Return the class metadata of a record; imports nothing.

    Raises `StateLoadError` if the record is damaged.
    """
    names = class_at_head(record)
    if names is not None:
        return ClassMetadata(".".join(names))
    (metadata,), _ = load_inert(record, parse_reference, pickles=1)
    if isinstance(metadata, tuple) and len(metadata) == 2:
        return ClassMetadata(class_name_of(metadata[0]), metadata[1])
    return ClassMetadata(class_name_of(metadata))


def class_name(record: bytes) -> str:
    """Return "module.name" of an object's class as the record has it; imports nothing.

    Where the class is a persistent object and has no name, the answer is
    "persistent class". Raises `StateLoadError` if the record is damaged.
    """
    return class_metadata(record).class_name or "persistent class"


def class_and_arguments(metadata: Any, find_global: FindGlobal) -> tuple[Any, tuple[Any, ...]]:
    """Return the class and the arguments of its `__new__` from loaded class metadata.

    Raises `StateLoadError` if there is no class in it.
    """
    cls, arguments = metadata, None
    if isinstance(metadata, tuple) and len(metadata) == 2:
        cls, arguments = metadata
        if isinstance(cls, tuple) and len(cls) == 2:
            cls = find_global(text(cls[0]), text(cls[1]))
    if not isinstance(cls, type):
        raise StateLoadError(reason=f"found {cls!r} at its head, expected a class")
    return cls, tuple(arguments or ())
