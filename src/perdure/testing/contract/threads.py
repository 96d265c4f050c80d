"""Running functions at once, with a bound on the waiting."""

import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["PATIENCE_S", "at_once", "meeting"]

PATIENCE_S = 60.0
"""How long a suite waits for another thread before it calls that a deadlock."""


COURTESY_S = 0.2


def meeting(parties: int) -> Callable[[], object]:
    """Return a function that waits until as many threads have called it, but not for long.

    It brings transactions to the same point at the same time where the storage
    lets them get there; one that lets in one transaction at a time does not.
    """
    barrier = threading.Barrier(parties)

    def meet() -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(COURTESY_S)

    return meet


def at_once(*functions: Callable[[], object]) -> None:
    """Run each function in a thread of its own, started together; raise what one raised.

    Raises `TimeoutError` if a thread is still running after `PATIENCE_S`.
    """
    errors: list[BaseException] = []
    start = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> None:
        try:
            start.wait(PATIENCE_S)
            function()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(function,), daemon=True) for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError(f"threads still wait after {PATIENCE_S:g} seconds: a deadlock?")
