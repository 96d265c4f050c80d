"""Classes whose records outlive them: tests load this file as a module `vanishing`."""

from typing import Any

from persistent import Persistent


class Thing(Persistent):
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Picky(Persistent):
    def __new__(cls, key: str) -> "Picky":
        made = Persistent.__new__(cls)
        made.__dict__["key"] = key
        return made

    def __getnewargs__(self) -> tuple[str]:
        return (self.key,)


class Value:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and other.x == self.x

    __hash__ = None


class Items(list[Any]):
    pass


class Pairs(dict[Any, Any]):
    pass


class Called:
    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> Any:
        return type(self), self.args
