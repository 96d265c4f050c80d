"""Persistent and other classes that tests of records store."""

from typing import Any

from persistent import Persistent

__all__ = [
    "Counter",
    "KeepsItsJar",
    "Node",
    "NoticesItsOid",
    "PeeksWhenRead",
    "Point",
    "Proxy",
    "RaisesInSetstate",
    "Shelf",
    "Slotted",
    "TakesArguments",
    "TakesKeywords",
]


class Node(Persistent):
    """Anything at all, in attributes."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Shelf(Node):
    class Label:
        """A class inside another."""

        def __init__(self, text: str) -> None:
            self.text = text


class NoticesItsOid(Persistent):
    """Has its own way of being given an oid."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_p_oid":
            self.noticed = value
        super().__setattr__(name, value)


class KeepsItsJar(Persistent):
    """Has its own `_p_jar`."""

    @property
    def _p_jar(self) -> Any:
        return Persistent._p_jar.__get__(self)

    @_p_jar.setter
    def _p_jar(self, jar: Any) -> None:
        self.given_to = jar.database_name
        Persistent._p_jar.__set__(self, jar)


class TakesArguments(Persistent):
    """Made by `__new__` with arguments, which its references leave out."""

    def __new__(cls, key: str) -> "TakesArguments":
        made = Persistent.__new__(cls)
        made.__dict__["key"] = key
        return made

    def __getnewargs__(self) -> tuple[str]:
        return (self.key,)


class TakesKeywords(Persistent):
    """ZODB pays no attention to `__getnewargs_ex__` of a persistent object."""

    def __new__(cls, *, key: str = "none given") -> "TakesKeywords":
        made = Persistent.__new__(cls)
        made.__dict__["key"] = key
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, str]]:
        return (), {"key": self.key}


class Counter(Persistent):
    """Counts what several transactions add; references in it stay those of the new state."""

    def __init__(self, count: int = 0, **attributes: Any) -> None:
        self.count = count
        for name, value in attributes.items():
            setattr(self, name, value)

    def _p_resolveConflict(self, old: Any, committed: Any, new: Any) -> Any:
        return {**new, "count": new["count"] + committed["count"] - old["count"]}


class RaisesInSetstate(Persistent):
    def __setstate__(self, state: object) -> None:
        raise ValueError("this state is not what I expect")


class Point:
    """Not persistent: a part of whoever holds it."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a = a
        self.b = b

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None


class Proxy:
    """Claims to be of the class of what it wraps, as Zope's acquisition wrappers do."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    @property
    def __class__(self) -> Any:
        return type(self.wrapped)

    @property
    def _p_oid(self) -> Any:
        return self.wrapped._p_oid

    @property
    def _p_jar(self) -> Any:
        return self.wrapped._p_jar

    def __reduce__(self) -> Any:
        return Point, (self.wrapped.x, self.wrapped.y)


class PeeksWhenRead:
    """Comes back as the names of a node, which it has loaded when it is read."""

    def __init__(self, node: Node, times: int) -> None:
        self.node = node
        self.times = times

    def __reduce__(self) -> tuple[Any, tuple[Node, int]]:
        return names_of, (self.node, self.times)


def names_of(node: Any, times: int) -> list[str]:
    return [node.name for _ in range(times)]
