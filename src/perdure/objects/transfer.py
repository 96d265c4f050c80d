"""Export and import: a subgraph of objects as one file, in ZODB's export format."""

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from perdure.errors import Unsupported
from perdure.interfaces import Loaded

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["export", "import_into"]


def export(load: Callable[[bytes], Loaded], oid: bytes, f: str | IO[bytes] | None) -> IO[bytes]:
    raise Unsupported("not yet")


def import_into(connection: "Connection", f: str | IO[bytes], clue: object, importers: Any) -> Any:
    raise Unsupported("not yet")
