"""The suites run on ZODB's own storages: what they demand is what ZODB does.

Where Perdure promises more, the difference stands here with ZODB's behaviour.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import ZODB.interfaces
import ZODB.POSException
from ZODB.DemoStorage import DemoStorage
from ZODB.FileStorage import FileStorage
from ZODB.MappingStorage import MappingStorage
from zope.interface import alsoProvides

from perdure.testing.contract import (
    ExternalGCContract,
    IterationContract,
    ReadOnlyContract,
    ReadVerifyingContract,
    RecordIterationContract,
    ReopenContract,
    RestoreContract,
    StorageContract,
    UndoContract,
)

# What ZODB's storages have in common.
LENIENT_ORDER = {
    "test_tpc_finish_without_a_vote_is_refused": "ZODB finishes what did not vote",
    "test_a_store_after_the_vote_is_refused": "ZODB stores after the vote",
}
VERSION_FIRST = {
    "test_storing_in_another_transaction_is_refused_before_the_arguments_are_looked_at": (
        "the version is looked at first, by an assertion"
    )
}
UNTYPED_CLOSE = {
    "test_use_after_close_is_refused": "ZODB fails by accident: a closed file, a precondition",
    "test_closing_in_a_transaction_leaves_nothing_of_it": "the same",
}
METADATA_IN_MEMORY = {
    "test_extension_bytes_come_back_exactly": "the record in memory keeps the dictionary only",
    "test_no_extension_is_no_bytes": "the record in memory has no extension_bytes",
    "test_history_shows_what_the_extension_holds": "the extension is under a key of its own",
}
PACK_IN_MEMORY = {
    "test_what_is_newer_than_the_pack_stays_though_nothing_reaches_it": (
        "the sweep starts at the root alone, whatever came after the pack time"
    ),
}


def verifying(storage: Any) -> Any:
    """Declare what ZODB's storages can do and do not say: checking what was read."""
    alsoProvides(storage, ZODB.interfaces.ReadVerifyingStorage)
    return storage


class TestZODBMappingStorage(StorageContract, IterationContract, ReadVerifyingContract):
    errors: ClassVar[Any] = ZODB.POSException
    differences: ClassVar[dict[str, str]] = (
        LENIENT_ORDER
        | UNTYPED_CLOSE
        | METADATA_IN_MEMORY
        | PACK_IN_MEMORY
        | VERSION_FIRST
        | dict.fromkeys(
            (
                "test_a_class_can_resolve_a_conflict",
                "test_what_is_not_in_conflict_is_not_reported_as_resolved",
                "test_several_conflicts_in_one_transaction_are_resolved",
                "test_the_length_of_a_btree_resolves",
                "test_insertions_into_one_bucket_are_merged",
                "test_resolution_keeps_references",
                "test_resolution_reads_and_writes_through_the_wrapper",
                "test_a_resolved_state_can_conflict_again",
            ),
            "the storage in memory does not resolve conflicts",
        )
        | {"test_an_oid_in_use_is_not_handed_out": "it counts what it hands out, not what is used"}
    )

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: verifying(MappingStorage(name))


class TestZODBFileStorage(
    StorageContract,
    IterationContract,
    UndoContract,
    RestoreContract,
    RecordIterationContract,
    ReadVerifyingContract,
    ExternalGCContract,
    ReopenContract,
    ReadOnlyContract,
):
    errors: ClassVar[Any] = ZODB.POSException
    differences: ClassVar[dict[str, str]] = (
        LENIENT_ORDER
        | UNTYPED_CLOSE
        | {
            "test_what_was_not_finished_is_not_there": (
                "lastTransaction is that of the unfinished transaction after opening"
            ),
            "test_objects_that_are_gone_are_left_out": "the walk stops at them with POSKeyError",
            "test_an_aborted_restore_leaves_nothing": "its tid is remembered as the last",
            "test_a_tid_that_is_not_later_than_the_last_is_refused": "it is accepted",
            "test_a_hint_at_a_transaction_that_is_missing_is_ignored": "it raises UndoError",
            "test_what_is_no_id_is_an_undo_error": "a failing assertion instead",
            "test_what_a_later_transaction_reaches_stays": (
                "an object that was garbage at the pack time is dropped, though referred to now"
            ),
        }
    )

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: verifying(FileStorage(str(tmp_path / name)))

    @pytest.fixture
    def view(self, tmp_path: Path) -> Callable[[Any], Any]:
        def view(storage: Any) -> Any:
            storage.close()
            return FileStorage(str(tmp_path / "main"), read_only=True)

        return view


class TestZODBDemoStorage(StorageContract, IterationContract, ReadVerifyingContract):
    errors: ClassVar[Any] = ZODB.POSException
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset({"blobs"})
    differences: ClassVar[dict[str, str]] = (
        LENIENT_ORDER | VERSION_FIRST | UNTYPED_CLOSE | METADATA_IN_MEMORY | PACK_IN_MEMORY
    )

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        return lambda name: verifying(DemoStorage(name))
