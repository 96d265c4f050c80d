"""The command: `perdure stage ADDRESS …` runs something, `perdure stage status …` and so on."""

import difflib
import os
from collections.abc import Iterable

import click

from perdure.cli.stage import ending, looking, running

__all__ = ["command"]

_HELP_OPTIONS = ("-h", "--help")


class _Stage(click.Group):
    """A group in which what is no command of it is what `run` takes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in _HELP_OPTIONS:
            _refuse_misspelled(args[0], self.commands, ctx)
            args = [running.command.name or "", *args]
        return super().parse_args(ctx, args)


def _refuse_misspelled(word: str, commands: Iterable[str], ctx: click.Context) -> None:
    """Raise a usage error if `word` looks like a command of the group rather than a database."""
    close = difflib.get_close_matches(word, commands, n=1)
    if close and not os.path.exists(word):
        raise click.UsageError(
            f"there is no command and no file {word!r}; did you mean {close[0]!r}?", ctx
        )


@click.group(
    "stage",
    cls=_Stage,
    short_help="Rehearse changes, then apply or discard them.",
    subcommand_metavar="ADDRESS --changes CHANGES [--at MOMENT] -- COMMAND...",
)
def command() -> None:
    """Run COMMAND on a stage: over the database at ADDRESS as it is now, or was at MOMENT.

    What it commits goes into the file CHANGES. The database itself is only read, and may be
    written by others meanwhile. Then look at the changes with perdure stage status CHANGES, and
    apply or discard them. perdure stage run is the same; perdure stage run --help says more.
    """


for each in (running.command, looking.command, ending.apply, ending.discard):
    command.add_command(each)
