"""`ZODB.DemoStorage`: changes over a base that stays as it is."""

from perdure.storages.demo import DemoStorage
from ZODB.ConflictResolution import ConflictResolvingStorage
from ZODB.utils import load_current, maxtid

__all__ = ["ConflictResolvingStorage", "DemoStorage", "load_current", "maxtid"]
