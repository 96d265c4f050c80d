"""`ZODB.persistentclass`: classes that live in the database."""

from typing import Final

from perdure.compat.names import go_by
from perdure.objects.persistentclass import PersistentMetaClass

__all__ = ["PersistentMetaClass", "special_class_descrs"]

special_class_descrs: Final = ("__dict__", "__weakref__")

go_by(__name__, PersistentMetaClass)
