"""Objects and their transactions: databases, connections, savepoints, undo."""

from perdure.objects.activity import Activity, ActivityMonitor
from perdure.objects.connection import Connection, resetCaches
from perdure.objects.database import Database
from perdure.objects.feed import Change, Subscription
from perdure.objects.metrics import Metrics

__all__ = [
    "Activity",
    "ActivityMonitor",
    "Change",
    "Connection",
    "Database",
    "Metrics",
    "Subscription",
    "resetCaches",
]
