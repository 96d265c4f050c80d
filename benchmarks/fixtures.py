"""What a test's database costs: ``python -m benchmarks.fixtures``.

For data of several sizes: building it anew for a test, and a layer over data
that is there; both with the test's own work, which reads one object, changes
it and commits. Rounds are interleaved; the figures are medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import transaction

import perdure
from benchmarks.objects import chain
from perdure.testing import layer

__all__ = ["main"]

SIZES = (10, 1_000, 10_000)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fixtures", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each (default: 15)")
    rounds = parser.parse_args().rounds
    print(f"{'objects':>8} {'built for each test':>20} {'a layer for each test':>22} {'ratio':>7}")
    for count in SIZES:
        built_ms, layered_ms = _measured(count, rounds)
        ratio = built_ms / layered_ms
        print(f"{count:>8,} {built_ms:>17.2f} ms {layered_ms:>19.2f} ms {ratio:>7.1f}")


def _measured(count: int, rounds: int) -> tuple[float, float]:
    base = _built(count)
    building: list[float] = []
    layering: list[float] = []

    def build() -> None:
        db = _built(count)
        _use(db)
        db.close()

    def put_a_layer() -> None:
        with layer(base) as opened:
            _use(opened.db)

    for _ in range(rounds):
        building.append(_timed_ms(build))
        layering.append(_timed_ms(put_a_layer))
    with base.transaction() as connection:
        assert connection.root.first.number == 0, "a layer wrote to its base"
    base.close()
    return statistics.median(building), statistics.median(layering)


def _built(count: int) -> perdure.DB:
    db = perdure.DB(None)
    with db.transaction() as connection:
        connection.root.first = chain(count)
    return db


def _use(db: Any) -> None:
    connection = db.open(transaction.TransactionManager())
    connection.root.first.number = -1
    connection.transaction_manager.commit()
    connection.close()


def _timed_ms(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
