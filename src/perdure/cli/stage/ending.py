"""`perdure stage apply` and `perdure stage discard`: what becomes of staged changes."""

from typing import Any

import click

import perdure
from perdure.cli.addresses import refuse_missing_file
from perdure.cli.output import echo_json
from perdure.cli.progress import progress_bar
from perdure.cli.stage.changes import opened_changes
from perdure.errors import FileLockedError, StagedConflictsError
from perdure.ids import oid_repr, tid_repr
from perdure.tools import stage

__all__ = ["apply", "discard"]


@click.command("apply", short_help="Commit what was staged to the database.")
@click.argument("changes")
@click.argument("address")
@click.option("--user", default="", help="Who does it.")
@click.option("--note", default="", help="What the transaction says; by default, where from.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def apply(changes: str, address: str, user: str, note: str, as_json: bool) -> None:
    """Commit the stage CHANGES to the database at ADDRESS, as one transaction.

    Where an object was changed there since the stage was begun, both changes are merged, if its
    class knows how. If not, the conflicts are listed, nothing is applied, and the exit code is 1.
    A stage is applied once.
    """
    refuse_missing_file(address)
    with opened_changes(changes) as above, _opened_database(address) as database:
        try:
            with progress_bar("applying") as progress:
                done = stage.apply(above, database, user=user, note=note, progress=progress)
        except StagedConflictsError as error:
            _show_conflicts(error, as_json)
            click.get_current_context().exit(1)
    if as_json:
        echo_json(_as_data(done))
    else:
        merged = f", {len(done.resolved):,} of them merged" if done.resolved else ""
        removed = f", {done.removed:,} removed" if done.removed else ""
        click.echo(f"{done.changed:,} changed{merged}, {len(done.new_oids):,} new{removed}")
        click.echo(f"applied by {tid_repr(done.tid)}")


@click.command("discard", short_help="Remove what was staged.")
@click.argument("changes")
def discard(changes: str) -> None:
    """Remove the stage CHANGES, with its blobs; the database is left alone."""
    with opened_changes(changes) as above:
        count = stage.discard(above)
    click.echo(f"discarded the changes of {count:,} object{'' if count == 1 else 's'}")


def _opened_database(address: str) -> perdure.DB:
    try:
        return perdure.open(address)
    except FileLockedError as error:
        raise click.ClickException(
            f"{error.path} is open for writing by {error.holder}; end that for a moment, or apply "
            "from within it: perdure.tools.stage.apply(changes, db)"
        ) from error


def _show_conflicts(error: StagedConflictsError, as_json: bool) -> None:
    if as_json:
        conflicts: list[dict[str, Any]] = [
            {"oid": oid_repr(each.oid), "class": each.class_name, "reason": each.reason}
            for each in error.conflicts
        ]
        echo_json({"conflicts": conflicts})
    else:
        for each in error.conflicts:
            click.echo(str(each))
    click.echo(
        f"perdure: {error.changes} cannot be applied to {error.database}, which changed what it "
        "changed; nothing was applied",
        err=True,
    )


def _as_data(done: stage.Applied) -> dict[str, Any]:
    return {
        "tid": tid_repr(done.tid),
        "changed": done.changed,
        "removed": done.removed,
        "resolved": [oid_repr(oid) for oid in done.resolved],
        "new_oids": {oid_repr(old): oid_repr(new) for old, new in done.new_oids.items()},
    }
