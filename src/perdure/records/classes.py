"""Which classes a record may bring to life: a policy, asked for every global it names.

Loading a pickle calls what it names. A policy with patterns lets pass what the
patterns name and a fixed set of harmless classes; all else becomes broken, and
its module is not imported. What passes has to be at home in a module that
passes: ``myapp.tools.system``, imported there from `os`, does not.

Some functions that picklers need would open the door to all others. They pass
in a tame form: `getattr` reaches a class inside its class, and `__new__`; `type`
tells the class of a constant; `encode` makes bytes of Latin-1. A policy is about
what runs, not about memory: it cannot keep a record from being huge.
"""

import builtins
from collections.abc import Iterable
from fnmatch import fnmatchcase
from types import EllipsisType, MethodType, NoneType, NotImplementedType
from typing import Any, Final

from perdure.records.broken import Broken, BrokenClass, broken_class, find_global
from perdure.records.codec import FindGlobal
from perdure.records.names import local_name

__all__ = ["HARMLESS", "ClassPolicy", "is_steady"]

_HARMLESS: Final[dict[str, str]] = {
    "BTrees.Length": "Length",
    "array": "array _array_reconstructor",
    "builtins": "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list"
    " object range set slice str tuple",
    "collections": "ChainMap Counter OrderedDict defaultdict deque",
    "copyreg": "__newobj__ __newobj_ex__ _reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "partial",
    "ipaddress": "IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network",
    "pathlib": "PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "perdure.objects.blob": "Blob",
    "perdure.objects.persistentclass": "PersistentMetaClass",
    "persistent": "Persistent",
    "persistent.list": "PersistentList",
    "persistent.mapping": "PersistentMapping",
    "persistent.timestamp": "TimeStamp",
    "persistent.wref": "PersistentWeakKeyDictionary WeakRef",
    "time": "struct_time",
    "types": "SimpleNamespace",
    "uuid": "SafeUUID UUID",
    "zoneinfo": "ZoneInfo",
}

# "BTrees.OOBTree" and so on: what the keys and what the values are.
_TREES: Final = (
    *("IF", "II", "IO", "IU", "LF", "LL", "LO", "LQ", "OI", "OL", "OO", "OQ", "OU"),
    *("QF", "QL", "QO", "QQ", "UF", "UI", "UO", "UU", "fs"),
)

HARMLESS: Final[frozenset[tuple[str, str]]] = frozenset(
    [(module, name) for module, names in _HARMLESS.items() for name in names.split()]
    + [
        (f"BTrees.{tree}BTree", f"{tree}{kind}")
        for tree in _TREES
        for kind in ("BTree", "Bucket", "Set", "TreeSet")
    ]
)
"""What every policy lets pass: (module, name) of classes that hold data and do nothing else."""


class ClassPolicy:
    """Says which globals a record gets, by patterns for the names of modules.

    `patterns` are shell patterns (`fnmatch`): ``myapp.models``, or ``myapp.*``
    which includes `myapp` itself; None lets everything pass. `find` is how what
    passes is found, by default imported.
    """

    def __init__(
        self, patterns: Iterable[str] | None = None, find: FindGlobal = find_global
    ) -> None:
        self.patterns = None if patterns is None else tuple(patterns)
        self._find = find

    def allows_module(self, module: str) -> bool:
        """Return whether the patterns name this module."""
        return self.patterns is None or any(
            fnmatchcase(module, pattern)
            or (pattern.endswith(".*") and module == pattern.removesuffix(".*"))
            for pattern in self.patterns
        )

    def find_class(self, module: str, name: str) -> Any:
        """Return what a record means by `module` and `name`, or a broken class instead of it.

        What is not allowed is never imported.
        """
        if self.patterns is None:
            return self._find(module, name)
        local = local_name(module, name)
        if local in HARMLESS or _is_exception(*local):
            return self._find(module, name)
        if local == ("perdure.records.broken", "rebuild"):
            return self._rebuild
        if local == ("perdure.records.broken", "find_global"):
            return self.find_class
        if local in _TAME:
            return _TAME[local]
        if self.allows_module(local[0]):
            found = self._find(module, name)
            if self._is_at_home(found):
                return found
        return broken_class(*local)

    def _is_at_home(self, found: Any) -> bool:
        """Return whether the module that defines a global is allowed, not just one that has it."""
        if isinstance(found, BrokenClass):
            return True
        home = getattr(found, "__module__", None)
        return isinstance(home, str) and self.allows_module(home)

    def _rebuild(self, module: str, name: str, *args: Any) -> Any:
        cls = self.find_class(module, name)
        return cls.__new__(cls, *args)


def is_steady(find: FindGlobal) -> bool:
    """Return whether what `find` gives for a name can change only when its module does."""
    if isinstance(find, MethodType) and type(find.__self__) is ClassPolicy:
        find = find.__self__._find
    return find is find_global


def _is_exception(module: str, name: str) -> bool:
    found = getattr(builtins, name, None) if module == "builtins" else None
    return isinstance(found, type) and issubclass(found, BaseException)


# The tame functions are broken classes that, called, return what is harmless. Called
# for anything else they make broken objects; both are stored as the call they were.


def _inner(cls: Any, owner: Any, name: Any) -> Any:
    if isinstance(owner, type) and isinstance(name, str):
        if name == "__new__" or (name == "_unpickle" and _is_zone_info(owner)):
            return getattr(owner, name)
        dotted = f"{owner.__qualname__}.{name}"
        if isinstance(owner, BrokenClass):
            return broken_class(owner.__module__, dotted)
        inner = vars(owner).get(name)
        if isinstance(inner, type) and inner.__qualname__ == dotted:
            return inner
    return Broken.__new__(cls, owner, name)


def _is_zone_info(owner: type) -> bool:
    from zoneinfo import ZoneInfo  # slow, and few records have one

    return owner is ZoneInfo


def _type(cls: Any, *args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], NoneType | EllipsisType | NotImplementedType):
        return type(args[0])
    return Broken.__new__(cls, *args)


def _encode(cls: Any, *args: Any) -> Any:
    if len(args) == 2 and isinstance(args[0], str) and args[1] in ("latin1", "latin-1"):
        return args[0].encode("latin-1")
    return Broken.__new__(cls, *args)


_TAME: Final[dict[tuple[str, str], Any]] = {
    (module, name): BrokenClass(name, (Broken,), {"__module__": module, "__new__": make})
    for module, name, make in (
        ("builtins", "getattr", _inner),
        ("builtins", "type", _type),
        ("_codecs", "encode", _encode),
    )
}
