"""The root of a database: how it comes to be, and how it is used, as a mapping or by attributes."""

from typing import Any, Final

from perdure.errors import ReadOnlyError
from perdure.ids import ROOT_OID, ZERO
from perdure.interfaces import TransactionMetaData

__all__ = ["RootConvenience", "create_root"]

_EMPTY_ROOT: Final = (
    b"\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00."
    b"\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03s."
)
"""The record of a new root: what an empty PersistentMapping is stored as."""


def create_root(snapshot: Any) -> None:
    """Commit an empty root where there is none yet; `snapshot` is released.

    Raises `ReadOnlyError` if the storage cannot take one.
    """
    try:
        snapshot.poll_invalidations()
        try:
            snapshot.load(ROOT_OID)
        except KeyError:  # of any storage: not all raise ours
            metadata = TransactionMetaData(description="initial database creation")
            try:
                snapshot.tpc_begin(metadata)
            except ReadOnlyError as error:
                raise ReadOnlyError(
                    f"{snapshot.getName()} has no root yet, and only reads; "
                    "open it for writing once, which makes one"
                ) from error
            try:
                snapshot.store(ROOT_OID, ZERO, _EMPTY_ROOT, "", metadata)
                snapshot.tpc_vote(metadata)
                snapshot.tpc_finish(metadata)
            except BaseException:
                snapshot.tpc_abort(metadata)
                raise
    finally:
        snapshot.release()


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
