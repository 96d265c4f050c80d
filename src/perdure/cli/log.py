"""`perdure log`: the transactions of a database, newest first."""

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import click

from perdure.cli.arguments import address as address_argument
from perdure.cli.arguments import limit as limit_option
from perdure.cli.arguments import moment, time_text
from perdure.cli.arguments import oid as oid_argument
from perdure.cli.opened import opened_storage
from perdure.cli.output import count_text, echo_json_list, size_text
from perdure.cli.progress import waiting
from perdure.ids import oid_repr, tid_repr
from perdure.tools import LoggedTransaction, transactions

__all__ = ["command"]


@click.command("log", short_help="List the transactions, newest first.")
@address_argument
@click.option(
    "--since", metavar="MOMENT", type=moment, help="Only those of this time or tid, and later."
)
@click.option(
    "--until", metavar="MOMENT", type=moment, help="Only those of this time or tid, and earlier."
)
@click.option("--user", metavar="PATTERN", help="Only those of this user; * and ? match anything.")
@click.option("--oid", metavar="OID", type=oid_argument, help="Only those that wrote this object.")
@limit_option("How many at most")
@click.option("--json", "as_json", is_flag=True, help="Print them as a JSON list.")
def command(
    address: str,
    since: bytes | None,
    until: bytes | None,
    user: str | None,
    oid: bytes | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the transactions of the database at ADDRESS, newest first.

    A time is ISO 8601, such as 2026-11-01T12:00Z, and UTC unless it has a zone. The
    database is opened for reading only, and no class of it is imported.
    """
    with opened_storage(address) as storage:
        listed = transactions(
            storage, since=since, until=until, user=user, oid=oid, limit=limit or None
        )
        with waiting("looking through transactions"):
            first = list(islice(listed, 1))
        found = chain(first, listed)
        if as_json:
            echo_json_list(map(_as_data, found))
        else:
            _print(found)


def _as_data(transaction: LoggedTransaction) -> dict[str, Any]:
    return {
        "tid": tid_repr(transaction.tid),
        "time": transaction.time.isoformat(),
        "status": transaction.status,
        "user": transaction.user,
        "description": transaction.description,
        "extension": transaction.extension,
        "oids": [oid_repr(oid) for oid in transaction.oids],
        "size_bytes": transaction.size_bytes,
    }


def _print(found: Iterable[LoggedTransaction]) -> None:
    for transaction in found:
        click.echo(
            f"{tid_repr(transaction.tid)}  {time_text(transaction.tid)}  "
            f"{count_text(len(transaction.oids), 'object')}, {size_text(transaction.size_bytes)}"
            f"{', packed' if transaction.status == 'p' else ''}"
        )
        if transaction.user:
            click.echo(f"    by {transaction.user}")
        for line in transaction.description.splitlines():
            click.echo(f"    {line}")
