"""A transactional database of Python object graphs.

    import perdure

    db = perdure.DB("app.fs")
    with db.transaction() as connection:
        connection.root.greeting = "hello"

What stands here is loaded when it is first used: importing `perdure` by itself
loads nothing but the standard library, and a program pays for the parts that it
touches. Loggers are below `perdure`; unless the program adds a handler, nothing
is printed.
"""

import logging
from typing import TYPE_CHECKING

from perdure.faces import loading

if TYPE_CHECKING:
    from persistent import Persistent
    from persistent.list import PersistentList
    from persistent.mapping import PersistentMapping
    from persistent.timestamp import TimeStamp

    from perdure.objects.blob import Blob
    from perdure.opening.addressed import connection, open
    from perdure.opening.database import DB
    from perdure.storages.demo import DemoStorage
    from perdure.storages.file import FileStorage
    from perdure.storages.memory import MappingStorage

__all__ = [
    "DB",
    "Blob",
    "DemoStorage",
    "FileStorage",
    "MappingStorage",
    "Persistent",
    "PersistentList",
    "PersistentMapping",
    "TimeStamp",
    "__version__",
    "connection",
    "open",
]

__version__ = "0.1.0.dev0"

# Without a handler of our own, Python would print warnings to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_WHERE = {
    "Blob": "perdure.objects.blob",
    "DB": "perdure.opening.database",
    "DemoStorage": "perdure.storages.demo",
    "FileStorage": "perdure.storages.file",
    "MappingStorage": "perdure.storages.memory",
    "Persistent": "persistent",
    "PersistentList": "persistent.list",
    "PersistentMapping": "persistent.mapping",
    "TimeStamp": "persistent.timestamp",
    "connection": "perdure.opening.addressed",
    "open": "perdure.opening.addressed",
}

if not TYPE_CHECKING:  # a type checker shall notice names that are not there
    __getattr__ = loading(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
