"""`ZODB.ActivityMonitor`."""

from perdure.objects.activity import ActivityMonitor

__all__ = ["ActivityMonitor"]
