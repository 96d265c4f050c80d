"""Storages: where records and their history are kept."""

from perdure.storages.file import FileStorage
from perdure.storages.memory import MappingStorage

__all__ = ["FileStorage", "MappingStorage"]
