"""Running the machine: how many examples, how reproducible, and what counts as found."""

import itertools
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from model.engines import Engine
from model.machine import DatabaseMachine

__all__ = ["drive"]


def drive(
    engine: Engine,
    directory: Path,
    *,
    examples: int,
    steps: int = 40,
    derandomize: bool = True,
    shrink: bool = True,
) -> None:
    """Run the machine against `engine` until `examples` runs went well; raise what it finds.

    Derandomized, the same examples run everywhere and always.
    """
    directory.mkdir(exist_ok=True)
    names = (directory / f"{engine.name}-{number}" for number in itertools.count())
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    run_state_machine_as_test(
        lambda: DatabaseMachine(engine, next(names)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            print_blob=not derandomize,
        ),
    )
