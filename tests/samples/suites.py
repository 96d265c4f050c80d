"""What is said of the suites of a storage's contract in more than one test."""

from typing import Final

from perdure.capabilities import Capabilities

__all__ = ["TESTED_BELOW"]

TESTED_BELOW: Final = frozenset(Capabilities.__slots__)
"""What a storage can do over which a view is tested: it has tests of its own."""
