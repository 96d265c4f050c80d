import ZODB.MappingStorage
from zope.interface import alsoProvides, directlyProvides, providedBy

from perdure.capabilities import capabilities_of
from perdure.interfaces import (
    INTERFACES,
    BatchStorage,
    BlobStorage,
    Storage,
    UndoableStorage,
    declares,
)


@declares(Storage, UndoableStorage)
class Declared:
    """Says that it can undo."""


class Undeclared:
    """Has the method, but does not say so."""

    def undo(self) -> None: ...


def test_what_is_declared_counts() -> None:
    assert capabilities_of(Declared()).undo
    assert not capabilities_of(Declared()).blobs


def test_having_the_methods_does_not() -> None:
    assert not capabilities_of(Undeclared()).undo


def test_an_instance_may_declare_more_than_its_class() -> None:
    storage = Declared()
    alsoProvides(storage, INTERFACES[BlobStorage])
    assert capabilities_of(storage).blobs
    assert not capabilities_of(Declared()).blobs


def test_a_declaration_of_zodb_counts_by_its_name() -> None:
    found = capabilities_of(ZODB.MappingStorage.MappingStorage())
    assert found.iteration
    assert not found.undo


@declares(BatchStorage, UndoableStorage)
class Batching:
    """Takes records in batches, which ZODB's contract does not know."""

    def store_all(self) -> None: ...


class Copying:
    """Wraps a storage as ZODB's wrappers do: declares what that declares, and forwards."""

    def __init__(self, base: Batching) -> None:
        self.store_all = base.store_all
        directlyProvides(self, providedBy(base))


def test_a_wrapper_that_copies_declarations_is_not_passed_over() -> None:
    assert capabilities_of(Batching()).batches
    found = capabilities_of(Copying(Batching()))
    assert found.undo
    assert not found.batches
