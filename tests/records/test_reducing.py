"""What the encoder asks of classes: their names, their slots, their reductions."""

import enum
from collections import OrderedDict
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from BTrees.OOBTree import OOBTree
from persistent import Persistent

from perdure.objects.blob import Blob
from perdure.records.reducing import global_of, has_slots, is_reduced_simply
from samples.records_objects import Node, Point, Shelf, Slotted


class Colour(enum.Enum):
    RED = 1


class OwnReduction:
    def __reduce__(self) -> Any:
        return Point, (1, 2)


class OwnReductionEx:
    def __reduce_ex__(self, protocol: Any) -> Any:
        return Point, (1, 2)


class AList(list[int]):
    pass


class WithSlots(Persistent):
    __slots__ = ("a",)


class Below(WithSlots):
    pass


def test_a_class_is_named_by_one_opcode() -> None:
    start = b"csamples.records_objects\nNode\n"
    assert global_of(Node) == (start, "samples.records_objects", "Node")
    assert global_of(OOBTree) == (b"cBTrees.OOBTree\nOOBTree\n", "BTrees.OOBTree", "OOBTree")


def test_a_class_of_zodb_has_its_name_there_and_is_found_under_its_own() -> None:
    assert global_of(Blob) == (b"cZODB.blob\nBlob\n", "perdure.objects.blob", "Blob")


@pytest.mark.parametrize("cls", [Shelf.Label, type(None), type("Local", (), {})])
def test_a_class_that_has_no_such_opcode_is_left_to_the_pickler(cls: type) -> None:
    assert global_of(cls) is None


def test_slots_are_seen_wherever_they_are_declared() -> None:
    assert [has_slots(cls) for cls in (Node, OOBTree, WithSlots, Below)] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("cls", [Point, Slotted, UUID, datetime, Decimal, bytearray])
def test_classes_without_a_reduction_of_their_own_are_reduced_simply(cls: type) -> None:
    assert is_reduced_simply(cls)


@pytest.mark.parametrize(
    "cls", [AList, OrderedDict, Colour, OwnReduction, OwnReductionEx, type, type(OOBTree)]
)
def test_containers_classes_and_reductions_of_their_own_are_not_simple(cls: type) -> None:
    assert not is_reduced_simply(cls)
