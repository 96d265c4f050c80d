"""Storages: where records and their history are kept.

A program that needs one of them does not load the others: what stands here is loaded when
it is first used.
"""

from typing import TYPE_CHECKING

from perdure.faces import loading

if TYPE_CHECKING:
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

_WHERE = {
    "BeforeStorage": "perdure.storages.before",
    "CopyProgress": "perdure.storages.copying",
    "DemoStorage": "perdure.storages.demo",
    "FileStorage": "perdure.storages.file",
    "Lag": "perdure.storages.replicating",
    "MappingStorage": "perdure.storages.memory",
    "ReadOnlyStorage": "perdure.storages.readonly",
    "ReplicatingStorage": "perdure.storages.replicating",
    "TransformingStorage": "perdure.storages.transforming",
    "compressed": "perdure.storages.layers",
    "copy_transactions": "perdure.storages.copying",
    "encrypted": "perdure.storages.layers",
    "keys_from_environment": "perdure.storages.keys",
    "keys_from_file": "perdure.storages.keys",
    "train_dictionary": "perdure.storages.dictionaries",
    "write_key_file": "perdure.storages.keys",
}

if not TYPE_CHECKING:  # a type checker shall notice names that are not there
    __getattr__ = loading(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
