"""How a tool tells how far it is: a callback that gets what is done and what there is to do."""

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int | None], object]
"""Called now and then with (done, total); total is None where nobody knows it.

What is counted, the tool says: bytes, objects or transactions. An error that it
raises ends the work; what was not finished by then is cleaned up.
"""
