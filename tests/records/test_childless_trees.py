"""Damaged trees: a state at which BTrees itself would end the process is an error."""

import subprocess
import sys
from typing import Any

import pytest
from BTrees.IOBTree import IOBTree, IOBucket
from BTrees.OOBTree import OOBTree, OOTreeSet

from perdure.errors import StateLoadError
from perdure.records import RecordReader
from samples.records_compared import pure_reader
from samples.records_jar import Jar

READERS = {"as built": lambda jar: jar.reader, "pure": pure_reader}


def record(cls: type, state: bytes) -> bytes:
    head = f"\x80\x03c{cls.__module__}\n{cls.__name__}\nq\x00.".encode("latin-1")
    return head + b"\x80\x03" + state + b"."


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("cls", [OOBTree, OOTreeSet, IOBTree])
@pytest.mark.parametrize("state", [b")\x85", b")N\x86"], ids=["((),)", "((), None)"])
def test_a_tree_without_children_is_an_error(cls: Any, state: bytes, reader: str) -> None:
    jar = Jar()
    found: RecordReader = READERS[reader](jar)
    for _ in range(2):  # the second time the beginning of the record is known
        with pytest.raises(StateLoadError, match="a tree without children"):
            found.set_state(cls(), record(cls, state))


@pytest.mark.parametrize("reader", READERS)
def test_a_bucket_without_items_is_not(reader: str) -> None:
    bucket = IOBucket()
    READERS[reader](Jar()).set_state(bucket, record(IOBucket, b")\x85"))
    assert list(bucket) == []


def test_such_a_state_in_a_conflict_is_not_resolved() -> None:
    # In a process of its own: if BTrees did not refuse these states, they would end it.
    script = """
import itertools
from BTrees.IOBTree import IOBTree
from BTrees.OOBTree import OOBTree, OOTreeSet
from perdure.errors import ConflictError
from perdure.records.conflict import resolve_conflict

sound = b"((K\\x01K\\x01t\\x85t\\x85t\\x85."
for cls in OOBTree, OOTreeSet, IOBTree:
    head = b"\\x80\\x03c" + f"{cls.__module__}\\n{cls.__name__}\\nq\\x00.".encode() + b"\\x80\\x03"
    for states in itertools.product([sound, b")\\x85.", b")N\\x86."], repeat=3):
        if states == (sound,) * 3:
            continue
        old, committed, new = (head + state for state in states)
        try:
            resolve_conflict(lambda oid, tid: old, b"", b"", b"", new, committed)
        except ConflictError as error:
            print(cls.__name__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stdout.split())) == (0, 3 * 26), done.stderr[-500:]
