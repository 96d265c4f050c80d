"""Running a function in a transaction, again and again until it gets through."""

import logging
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import transaction as transactions
from transaction.interfaces import TransientError

if TYPE_CHECKING:
    from perdure.objects.connection import Connection
    from perdure.objects.database import Database

__all__ = ["pause_s", "run", "transactional"]

logger = logging.getLogger("perdure.objects.retrying")

_P = ParamSpec("_P")
_T = TypeVar("_T")

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 1.0


def pause_s(attempt: int) -> float:
    """Return how many seconds to wait after failed attempt number `attempt`, from 1.

    The bound doubles from 2 ms up to a second, and the pause is anything up to
    it: whoever collided should not come back at the same time.
    """
    return random.uniform(0, min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S))  # noqa: S311


def run(
    database: "Database",
    function: Callable[..., _T],
    args: tuple[Any, ...],
    retries: int,
    note: str | None,
) -> _T:
    """Call `function(connection, *args)` in a transaction of its own and commit.

    What is transient, a conflict above all, is tried again up to `retries`
    times on a fresh view of the database. When that is not enough the last
    error is raised, with the number of attempts in its `attempts`. Anything
    else `function` raises aborts the transaction and is raised at once.
    """
    if retries < 0:
        raise ValueError(f"retries is a number of further attempts, not {retries}")
    manager = transactions.TransactionManager()
    connection = database.open(transaction_manager=manager)
    try:
        attempt = 1
        while True:
            try:
                current = manager.begin()
                if note is not None:
                    current.note(note)
                result = function(connection, *args)
                manager.commit()
                return result
            except TransientError as error:
                manager.abort()
                if attempt > retries:
                    error.attempts = attempt
                    error.add_note(f"gave up after {attempt} attempt{'s' if attempt > 1 else ''}")
                    raise
                logger.debug("attempt %d failed, trying again: %s", attempt, error)
                time.sleep(pause_s(attempt))
                attempt += 1
            except BaseException:
                manager.abort()
                raise
    finally:
        connection.close()


def transactional(
    database: "Database",
    function: "Callable[Concatenate[Connection, _P], _T]",
    retries: int,
    note: str | None,
) -> Callable[_P, _T]:
    """Return `function` without its first argument, a connection, run as `run` does."""

    @wraps(function)
    def in_transaction(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        def call(connection: "Connection") -> _T:
            return function(connection, *args, **kwargs)

        return run(database, call, (), retries, note or function.__name__)

    return in_transaction
