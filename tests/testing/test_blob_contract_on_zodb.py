"""The suites of blobs run on ZODB's own storage: what they demand is what ZODB does.

Where Perdure promises more, the difference stands here with ZODB's behaviour.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import ZODB.POSException
from ZODB.FileStorage import FileStorage

from perdure.testing.contract import BlobContract, BlobRestoreContract


class TestZODBFileStorage(BlobContract, BlobRestoreContract):
    errors: ClassVar[Any] = ZODB.POSException
    tested_elsewhere: ClassVar[frozenset[str]] = frozenset(
        {"undo", "iteration", "record_iteration", "restore", "read_verification", "external_gc"}
    )
    differences: ClassVar[dict[str, str]] = {
        "test_a_blob_aborted_before_the_vote_leaves_nothing": "its files stay for ever",
        "test_undo_is_refused_where_the_blob_changed_later": (
            "the records are alike, so the later change is lost without a word"
        ),
    }

    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: FileStorage(
            str(tmp_path / name), blob_dir=str(tmp_path / f"{name}.blobs")
        )
