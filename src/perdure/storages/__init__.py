"""Storages: where records and their history are kept."""

from perdure.storages.before import BeforeStorage
from perdure.storages.copying import CopyProgress, copy_transactions
from perdure.storages.demo import DemoStorage
from perdure.storages.dictionaries import train_dictionary
from perdure.storages.file import FileStorage
from perdure.storages.keys import keys_from_environment, keys_from_file, write_key_file
from perdure.storages.layers import compressed, encrypted
from perdure.storages.memory import MappingStorage
from perdure.storages.readonly import ReadOnlyStorage
from perdure.storages.replicating import Lag, ReplicatingStorage
from perdure.storages.transforming import TransformingStorage

__all__ = [
    "BeforeStorage",
    "CopyProgress",
    "DemoStorage",
    "FileStorage",
    "Lag",
    "MappingStorage",
    "ReadOnlyStorage",
    "ReplicatingStorage",
    "TransformingStorage",
    "compressed",
    "copy_transactions",
    "encrypted",
    "keys_from_environment",
    "keys_from_file",
    "train_dictionary",
    "write_key_file",
]
