"""The program that the commands hang on: its options, and how errors are shown.

A command prints data to stdout and everything else to stderr. Exit codes: 0 done,
1 refused or failed, 2 not understood (options, arguments, addresses) or not possible
with this storage, 130 interrupted. A typed error is one line; ``--traceback`` shows
where it came from.
"""

import errno
import logging
import sys
from typing import Any

import click

import perdure
from perdure.cli import (
    backup,
    check,
    copy,
    du,
    info,
    log,
    ls,
    pack,
    recover,
    refs,
    restore,
    shell,
    show,
    tour,
    traindictionary,
    undo,
)
from perdure.cli.stage import group as stage
from perdure.errors import AddressError, POSError, Unsupported

__all__ = ["program"]


class Failure(click.ClickException):
    """A typed error, shown as one line."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error) or type(error).__name__)

    def show(self, file: Any = None) -> None:
        click.echo(f"perdure: {self.format_message()}", err=True)


class Misunderstood(Failure):
    """A typed error about what was typed, or asked of a storage that cannot do it."""

    exit_code = 2


class Program(click.Group):
    """A group of commands whose typed errors are shown without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (POSError, OSError) as error:
            # A reader that went away, as in `perdure … | head`, is click's to handle.
            gone = isinstance(error, OSError) and error.errno == errno.EPIPE
            if gone or ctx.params["traceback"]:
                raise
            kind = Misunderstood if isinstance(error, AddressError | Unsupported) else Failure
            raise kind(error) from error
        except KeyboardInterrupt:
            click.echo("perdure: interrupted", err=True)
            ctx.exit(130)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(perdure.__version__, prog_name="perdure")
@click.option("--traceback", is_flag=True, help="Show where an error came from.")
def program(traceback: bool) -> None:
    """Look into and work on databases of Python objects.

    An ADDRESS is the path of a database file, or a storage and its options:
    file:app.fs?read_only=1, memory:, demo:(file:base.fs)/(file:changes.fs). Where
    it is all that a command needs, the environment variable PERDURE_ADDRESS may have it.
    """
    _show_log()


def _show_log() -> None:
    """Print what is logged as a warning or worse, a line each, like errors.

    On a terminal what is only said for information, too: how far a long opening is.
    """
    level = logging.INFO if sys.stderr.isatty() else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("perdure: %(message)s"))
    handler.setLevel(level)
    logger = logging.getLogger("perdure")
    before = logger.level
    logger.setLevel(level)
    logger.addHandler(handler)

    def as_before() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)

    click.get_current_context().call_on_close(as_before)


for module in (
    tour,
    info,
    log,
    show,
    ls,
    du,
    refs,
    undo,
    check,
    recover,
    pack,
    copy,
    traindictionary,
    backup,
    restore,
    stage,
    shell,
):
    program.add_command(module.command)
