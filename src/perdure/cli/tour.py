"""`perdure tour`: what Perdure does, shown on the standard library's source."""

from pathlib import Path

import click
from rich.console import Console

from perdure.cli.addresses import shell_word
from perdure.tour import take_tour
from perdure.tour.screen import Screen

__all__ = ["command"]


@click.command("tour", short_help="See what Perdure does, on real data.")
@click.argument("path", default="tour.fs", type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Read everything again.")
def command(path: Path, fresh: bool) -> None:
    """Read the source of Python's standard library into PATH and work with it.

    Each step shows the code that runs, what it found and how long it took. PATH
    is tour.fs unless another is given. A file of an earlier tour is used again;
    any other file is left alone.
    """
    screen = Screen(Console(highlight=False))
    try:
        take_tour(path, screen, fresh=fresh)
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted. What was committed is safe in {path}; "
            f"perdure tour {shell_word(path)} carries on.",
            err=True,
        )
        click.get_current_context().exit(130)
    click.echo(f"\nExplore further:  perdure shell {shell_word(path)}")
