"""`ZODB.transact`: a decorator that retries a function on conflicts."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import transaction

from perdure.errors import ConflictError, ReadConflictError

__all__ = ["ConflictError", "ReadConflictError", "transact"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def transact(f: Callable[_P, _T], note: str | None = None, retries: int = 5) -> Callable[_P, _T]:
    """Return a function that runs `f` in a transaction and commits it.

    On a conflict it is aborted and run again, up to `retries` times, and once more
    with the error let through. `note` is added to the transaction's description.
    """

    def once(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if note:
            transaction.get().note(note)
        result = f(*args, **kwargs)
        transaction.commit()
        return result

    @wraps(f)
    def retrying(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for _ in range(retries):
            try:
                return once(*args, **kwargs)
            except ConflictError:
                transaction.abort()
            except BaseException:
                transaction.abort()
                raise
        try:
            return once(*args, **kwargs)
        except BaseException:
            transaction.abort()
            raise

    return retrying
