"""`ZODB.event`: events, for whoever has the package `zope.event` and listens."""

from typing import Any

__all__ = ["notify"]

try:
    from zope.event import notify
except ImportError:

    def notify(event: Any) -> None:
        """Do nothing: without `zope.event` nobody can listen."""
