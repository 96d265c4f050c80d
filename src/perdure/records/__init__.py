"""The bytes of one record: objects into pickles and back, and what records say by themselves."""

from perdure.records.broken import (
    Broken,
    BrokenModified,
    PersistentBroken,
    find_global,
    persistent_broken,
    rebuild,
)
from perdure.records.classes import ClassPolicy
from perdure.records.classmeta import ClassMetadata, class_metadata, class_name
from perdure.records.codec import PROTOCOL
from perdure.records.conflict import PersistentReference, resolve_conflict
from perdure.records.reader import ReaderJar, RecordReader
from perdure.records.references import Reference, all_references, parse_reference, references
from perdure.records.writer import RecordWriter, WriterJar

__all__ = [
    "PROTOCOL",
    "Broken",
    "BrokenModified",
    "ClassMetadata",
    "ClassPolicy",
    "PersistentBroken",
    "PersistentReference",
    "ReaderJar",
    "RecordReader",
    "RecordWriter",
    "Reference",
    "WriterJar",
    "all_references",
    "class_metadata",
    "class_name",
    "find_global",
    "parse_reference",
    "persistent_broken",
    "rebuild",
    "references",
    "resolve_conflict",
]
