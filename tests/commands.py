"""Running `perdure` in this process, as fast as a function call."""

from pathlib import Path

from click.testing import CliRunner, Result

from perdure.cli.program import program

__all__ = ["invoke"]


def invoke(*arguments: str | Path) -> Result:
    """Run `perdure` with these arguments; an exception that it does not handle comes through."""
    return CliRunner().invoke(
        program, list(map(str, arguments)), prog_name="perdure", catch_exceptions=False
    )
