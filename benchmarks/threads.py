"""Running functions in threads that start at the same moment."""

import gc
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.workload import Stopwatch

__all__ = ["pack_beside", "run_together"]

TIMEOUT_S = 600


def run_together(functions: Sequence[Callable[[threading.Barrier], None]]) -> float:
    """Return the seconds from when all were ready until the last one had ended.

    Each function gets a barrier and waits at it once, when it has prepared
    itself. What a function raises is raised here.
    """
    gc.collect()
    if not Stopwatch.collecting:
        gc.disable()
    ready = threading.Barrier(len(functions) + 1, timeout=TIMEOUT_S)
    try:
        with ThreadPoolExecutor(len(functions)) as pool:
            futures = [pool.submit(_run, function, ready) for function in functions]
            ready.wait()
            start = time.perf_counter()
            for future in futures:
                future.result(TIMEOUT_S)
            return time.perf_counter() - start
    finally:
        gc.enable()


def pack_beside(db: Any, done: threading.Event, work: Callable[[], None]) -> float:
    """Return the seconds that packing `db` takes while a thread does `work`, until both ended.

    `done` is set when the pack has ended, which is when `work` should.
    """

    def pack(ready: threading.Barrier) -> None:
        try:
            ready.wait()
            db.pack(time.time())
        finally:
            done.set()

    def beside(ready: threading.Barrier) -> None:
        ready.wait()
        work()

    done.clear()
    return run_together([pack, beside])


def _run(function: Callable[[threading.Barrier], None], ready: threading.Barrier) -> None:
    try:
        function(ready)
    except BaseException:
        ready.abort()  # the others must not wait for this one
        raise
