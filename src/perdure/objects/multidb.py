"""Several databases in one: connections that belong together, and references across.

A connection opens the others of its multi-database on demand and shares one
dictionary of them, by database name; they join the same transaction, and are
closed and opened again together.
"""

from typing import TYPE_CHECKING, Any

from perdure.errors import ConnectionStateError, InvalidObjectReference, dotted_name
from perdure.ids import oid_repr

if TYPE_CHECKING:
    from perdure.objects.connection import Connection

__all__ = ["connection_to", "describe", "foreign_reference"]


def describe(obj: Any) -> str:
    """Return an object as errors name it: its class, and its oid if it has one."""
    oid = obj._p_oid
    which = "a new" if oid is None else f"oid {oid_repr(oid)},"
    return f"{which} {dotted_name(type(obj))}"


def connection_to(connection: "Connection", database_name: str) -> "Connection":
    """Return the connection to `database_name` that goes with `connection`, opened if need be.

    Raises `ConnectionStateError` naming the known databases if there is none
    of that name.
    """
    other = connection.connections.get(database_name)
    if other is not None:
        return other
    databases = connection.db().databases
    if database_name not in databases:
        raise ConnectionStateError(
            f"there is no database {database_name!r} in this multi-database; "
            f"there are {', '.join(repr(name) for name in sorted(databases))}"
        )
    opened: Connection = databases[database_name].open(
        transaction_manager=connection.transaction_manager, before=connection.before
    )
    opened.connections.update(connection.connections)
    for member in list(opened.connections.values()):
        member.connections = opened.connections
    return opened


def foreign_reference(connection: "Connection", obj: Any) -> tuple[str, bytes]:
    """Return (database name, oid) by which `connection` may refer to an object of another.

    Raises `InvalidObjectReference` where it may not: the other connection is
    not part of the same multi-database, or is another connection to the same
    database; the database does not allow such references; or the object is
    new and was never added to its own database on purpose.
    """
    other: Connection = obj._p_jar
    what = f"{describe(obj)} belongs to {other!r}, not to {connection!r}"
    database_name = other.db().database_name
    if connection.connections.get(database_name) is not other:
        raise InvalidObjectReference(
            f"{what}; take the object from one of this connection's own, by its oid or by path",
            obj,
            connection,
        )
    if not connection.db().xrefs:
        raise InvalidObjectReference(
            f"{what}, and {connection.db().database_name!r} does not allow "
            "references to other databases (xrefs=False)",
            obj,
            connection,
        )
    if other.is_added_implicitly(obj._p_oid):
        raise InvalidObjectReference(
            f"{what}: a new object is reachable from two databases; "
            "add() it to the one that is to keep it",
            obj,
            connection,
        )
    return database_name, obj._p_oid
