"""Storages: where records and their history are kept."""

from perdure.storages.memory import MappingStorage

__all__ = ["MappingStorage"]
