"""Persistent classes for the tests of objects and connections."""

import threading
from typing import Any, ClassVar

from persistent import Persistent


class Node(Persistent):
    """Keeps whatever it is given."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Counter(Persistent):
    """Merges what two transactions added to it."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def add(self, number: int) -> None:
        self.value += number

    def _p_resolveConflict(
        self, old: dict[str, int], committed: dict[str, int], new: dict[str, int]
    ) -> dict[str, int]:
        return {"value": committed["value"] + new["value"] - old["value"]}


class Stubborn(Persistent):
    """Cannot be merged, and says why."""

    value = 0

    def _p_resolveConflict(self, old: object, committed: object, new: object) -> object:
        raise ValueError("two drivers, one wheel")


class Slow(Persistent):
    """Waits in the midst of loading until it is told to go on."""

    inside: ClassVar[threading.Event]
    leave: ClassVar[threading.Event]

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.inside.set()
        assert self.leave.wait(30)
        super().__setstate__(state)


class WithNewArgs(Persistent):
    """Is made with an argument, also when it is loaded; remembers with which."""

    made_with: ClassVar[list[str]] = []

    def __new__(cls, name: str) -> "WithNewArgs":
        cls.made_with.append(name)
        self: WithNewArgs = Persistent.__new__(cls)
        return self

    def __init__(self, name: str) -> None:
        self.name = name

    def __getnewargs__(self) -> tuple[str]:
        return (self.name,)


class WithNewArgsEx(Persistent):
    """Offers keywords for its `__new__`."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]:
        raise AssertionError("nobody asks for these")


class CustomState(Persistent):
    """Stores its state in a form of its own."""

    def __init__(self, items: list[int]) -> None:
        self.items = items

    def __getstate__(self) -> str:
        return ",".join(str(item) for item in self.items)

    def __setstate__(self, state: str) -> None:
        self.items = [int(item) for item in state.split(",")]


class RefusesItsState(Persistent):
    """Cannot be loaded again while `refusing`."""

    refusing = True

    def __setstate__(self, state: dict[str, object]) -> None:
        if self.refusing:
            raise RuntimeError("this state is not for me")
        super().__setstate__(state)
