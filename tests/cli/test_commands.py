"""What holds for every command."""

import click
import pytest

from commands import invoke
from perdure.cli.program import program


@pytest.mark.parametrize("name", sorted(program.commands))
def test_every_command_has_help_with_one_line_for_the_list(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: perdure {name} ")
    summary = program.commands[name].get_short_help_str(200)
    assert summary.endswith(".")
    assert len(summary) < 60


@pytest.mark.parametrize("name", sorted(program.commands))
def test_every_option_says_what_it_does(name: str) -> None:
    for parameter in program.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help


@pytest.mark.parametrize("name", sorted(program.commands))
def test_an_unknown_option_is_an_error_of_usage(name: str) -> None:
    assert invoke(name, "--no-such-option").exit_code == 2
