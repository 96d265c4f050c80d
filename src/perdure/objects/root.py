"""The root of a database, as a mapping and by attributes."""

from typing import Any

__all__ = ["RootConvenience"]


class RootConvenience:
    """`connection.root`: called it is the root mapping; its attributes are the mapping's items.

    `connection.root.books` is `connection.root()["books"]`, for reading,
    setting and deleting; a name that is not there raises `AttributeError`.
    """

    __slots__ = ("_root",)
    _root: Any

    def __init__(self, root: Any) -> None:
        object.__setattr__(self, "_root", root)

    def __call__(self) -> Any:
        return self._root

    def __getattr__(self, name: str) -> Any:
        try:
            return self._root[name]
        except KeyError:
            raise AttributeError(f"the root has no item {name!r}", name=name, obj=self) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._root[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._root[name]
        except KeyError:
            raise AttributeError(f"the root has no item {name!r}", name=name, obj=self) from None

    def __dir__(self) -> list[str]:
        names = {name for name in self._root if isinstance(name, str) and name.isidentifier()}
        return sorted(names | set(super().__dir__()))

    def __repr__(self) -> str:
        names = " ".join(sorted(str(name) for name in self._root))
        return f"<root: {names[:200]}{'...' if len(names) > 200 else ''}>"
