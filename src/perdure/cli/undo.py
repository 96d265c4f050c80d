"""`perdure undo`: take back what transactions did."""

import click

from perdure.cli.arguments import tid
from perdure.cli.opened import opened_database
from perdure.cli.output import echo_json
from perdure.ids import tid_repr
from perdure.tools import undo

__all__ = ["command"]


@click.command("undo", short_help="Undo transactions.")
@click.argument("address")
@click.argument("tids", metavar="TID...", nargs=-1, required=True, type=tid)
@click.option("--user", default="", help="Who does it.")
@click.option(
    "--note", default="", help="What the new transaction says; by default, what it undid."
)
@click.option("--json", "as_json", is_flag=True, help="Print the new tid as JSON.")
def command(address: str, tids: tuple[bytes, ...], user: str, note: str, as_json: bool) -> None:
    """Undo the transactions TID of the database at ADDRESS, in one new transaction.

    perdure log lists them. If a later transaction changed the same objects, and the two
    changes cannot be told apart by the class, nothing is undone and the exit code is 1. Where
    they wrote blobs, ADDRESS says where these are: file:app.fs?blob_dir=blobs.
    """
    with opened_database(address) as database:
        done = tid_repr(undo(database, tids, user=user, note=note))
    if as_json:
        echo_json({"tid": done})
    else:
        click.echo(f"undone by {done}")
