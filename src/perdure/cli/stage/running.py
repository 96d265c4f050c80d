"""`perdure stage ADDRESS --changes CHANGES -- COMMAND`: a command whose database is the stage.

The command takes the place of this process, so signals, the terminal and the
exit code are its own.
"""

import os
import shutil
import signal
import sys
from dataclasses import replace
from typing import Any

import click

from perdure.capabilities import capabilities_of
from perdure.cli.addresses import refuse_missing_file
from perdure.cli.arguments import moment, moment_text
from perdure.cli.opened import opened_storage
from perdure.cli.stage.changes import BLOB_OPTIONS, changes_address
from perdure.ids import ZERO, tid_repr
from perdure.opening import (
    ENVIRONMENT_VARIABLE,
    Address,
    absolute_address,
    address_text,
    forms,
    open_storage,
    parse,
)
from perdure.storages import FileStorage
from perdure.tools import stage

__all__ = ["command"]

_CANNOT_RUN = 126
_NOT_FOUND = 127
"""The exit codes that shells have for a command that cannot be run, or is not there."""


@click.command("run", short_help="Run a command on a stage.")
@click.argument("address")
@click.option(
    "--changes", required=True, metavar="CHANGES", help="The file that takes what is committed."
)
@click.option("--at", metavar="MOMENT", type=moment, help="As it was at this time or tid.")
@click.argument("program", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def command(address: str, changes: str, at: bytes | None, program: tuple[str, ...]) -> None:
    """Run COMMAND with a stage over the database at ADDRESS in PERDURE_ADDRESS.

    perdure.open() without an address opens that, and so do commands of perdure. With the same
    CHANGES, the next run goes on where this one ended, over the same moment. COMMAND takes the
    place of perdure; its exit code is what it returns, 126 if it cannot be run, 127 if it is
    not there.
    """
    if not program:
        raise click.UsageError("COMMAND is missing: put it at the end, behind --")
    _refuse_missing_command(program[0])
    refuse_missing_file(address)
    where, mark = _prepare(address, changes, at)
    click.echo(f"perdure: on a stage over {address} as of {moment_text(mark.last)}", err=True)
    _become(program, {**os.environ, ENVIRONMENT_VARIABLE: where})


def _prepare(address: str, changes: str, at: bytes | None) -> tuple[str, stage.Mark]:
    """Return the address of the stage, and what it stands on."""
    production = absolute_address(parse(address), forms)
    base = replace(production, database={})
    with opened_storage(address) as below:
        above = changes_address(changes, blobs=capabilities_of(below).blobs)
        if _blob_directories(above) & _blob_directories(base):
            raise click.BadParameter(
                "the blobs of the changes need a directory of their own", param_hint="--changes"
            )
        storage: Any = open_storage(above)
        is_new = storage.lastTransaction() == ZERO
        try:
            mark = stage.prepare(below, storage, at, address=address_text(base))
        except BaseException:
            if is_new and isinstance(storage, FileStorage):
                stage.remove(storage)
            storage.close()
            raise
        storage.close()
    snapshot = Address("before", tid_repr(mark.before), (base,))
    staged = Address("demo", "", (snapshot, above), {}, production.database)
    return address_text(staged), mark


def _blob_directories(address: Address) -> set[str]:
    found = {address.options[name] for name in BLOB_OPTIONS if name in address.options}
    return found.union(*map(_blob_directories, address.layers))


def _refuse_missing_command(name: str) -> None:
    if shutil.which(name) is not None:
        return
    there = os.path.exists(name)
    problem = f"{name!r} cannot be run" if there else f"there is no command {name!r}"
    click.echo(f"perdure: {problem}; nothing was staged", err=True)
    click.get_current_context().exit(_CANNOT_RUN if there else _NOT_FOUND)


def _become(program: tuple[str, ...], environment: dict[str, str]) -> None:
    """Run `program` in place of this process; returns only if that fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores this one, and what is ignored stays so in what is run.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(program[0], program, environment)  # noqa: S606  it is what the user asked for
    except OSError as error:
        click.echo(f"perdure: cannot run {program[0]!r}: {error.strerror}", err=True)
        click.get_current_context().exit(_CANNOT_RUN)
