"""Every storage keeps snapshot isolation, whatever its connections do."""

from pathlib import Path

import pytest

from model.engines import ENGINES, IN_TURNS, engine
from model.running import drive

PEERS = [name for name in ENGINES if name.startswith("zodb-")]
OURS = [name for name in ENGINES if name.startswith("perdure-")]


@pytest.mark.parametrize("name", PEERS)
def test_the_model_is_what_zodb_does(name: str, tmp_path: Path) -> None:
    drive(engine(name), tmp_path, examples=15)


@pytest.mark.parametrize("name", OURS)
def test_connections_behave_as_the_model_says(name: str, tmp_path: Path) -> None:
    drive(engine(name), tmp_path, examples=120)


@pytest.mark.parametrize("name", IN_TURNS)
def test_zodb_and_perdure_carry_on_with_one_file_in_turns(name: str, tmp_path: Path) -> None:
    drive(engine(name), tmp_path, examples=60)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OURS, *IN_TURNS])
def test_connections_behave_as_the_model_says_for_long(name: str, tmp_path: Path) -> None:
    drive(engine(name), tmp_path, examples=3000, steps=80, derandomize=False)
