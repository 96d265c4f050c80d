"""Checking a database: does everything in it fit together, and is nothing missing.

A data file is read once in order, for its structure, pointers, checksums and references;
only if something is missing, or cannot be read, once more, for who refers to it. It may be
in use: what is looked at is the file up to the last transaction that was complete when the
check began. Any other storage is asked for its current records.

No class is imported, and nothing is written.
"""

import os
from pathlib import Path
from typing import Any

from perdure.blobs import open_blob_directory
from perdure.errors import CorruptDataError, StateLoadError, TransformError
from perdure.fileops import FileOperations
from perdure.records import references
from perdure.storages.file.openfile import open_data_file
from perdure.tools.checked import Checked
from perdure.tools.filecheck import FileCheck
from perdure.tools.findings import Finding, UnreadableRecord, missing_object
from perdure.tools.moment import Moment
from perdure.tools.progress import Progress
from perdure.tools.recordclasses import RecordClasses

__all__ = ["check", "check_file"]


def check_file(
    path: str | os.PathLike[str],
    *,
    blob_dir: str | os.PathLike[str] | None = None,
    follow_references: bool = True,
    progress: Progress | None = None,
) -> Checked:
    """Check the data file at `path`, and that its blobs are in `blob_dir` where that is given.

    `follow_references` looks into every record: is it readable, and does what the
    current ones refer to exist. `progress` counts bytes; with references the file
    counts twice.

    Raises what opening a file raises: `FileMissingError`, `FileAccessError`,
    `FileStorageFormatError`. Damage is not raised but found.
    """
    operations = FileOperations()
    file = open_data_file(operations, Path(path), read_only=True, create=False)
    blobs = None
    if blob_dir is not None:
        blobs = open_blob_directory(Path(blob_dir), operations, read_only=True)
    return FileCheck(file, blobs, follow_references, progress).run()


def check(storage: Any, progress: Progress | None = None) -> Checked:
    """Check the current records of any storage: are they readable, does what they refer to exist.

    `progress` counts objects. Raises `Unsupported` if the storage cannot list them.
    """
    moment = Moment(storage)
    classes = RecordClasses()
    findings: list[Finding] = []
    referred: dict[bytes, bytes] = {}  # to the first that refers
    existing: set[bytes] = set()

    def damaged(error: CorruptDataError | TransformError) -> None:
        if error.oid is not None:
            existing.add(error.oid)
        findings.append(UnreadableRecord(None, error.found, "what was written", error.oid))

    for oid, (data, _) in moment.records(progress, damaged):
        existing.add(oid)
        classes.add(data, 0, len(data))
        try:
            for target in references(data):
                referred.setdefault(target, oid)
        except StateLoadError as error:
            found = f"pickles that cannot be read ({error.reason})"
            findings.append(UnreadableRecord(None, found, "two whole ones", oid))
    for target, oid in referred.items():
        if target not in existing and not _exists(storage, target):
            findings.append(missing_object(None, oid, target))
    return Checked(
        name=storage.getName(),
        size_bytes=storage.getSize(),
        transactions=0,
        unchecked=0,
        records=len(existing),
        objects=len(existing),
        references=True,
        classes=classes.rooms(),
        findings=tuple(findings),
    )


def _exists(storage: Any, oid: bytes) -> bool:
    """Return whether an object exists that was not listed: perhaps it is newer."""
    try:
        storage.load(oid)
    except KeyError:
        return False
    return True
