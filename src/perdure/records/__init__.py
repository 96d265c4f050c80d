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
from perdure.records.exporting import (
    EXPORT_END,
    EXPORT_MAGIC,
    ExportedRecord,
    blob_start,
    exported,
    is_blob,
    records_in_export,
)
from perdure.records.plain import plain_record
from perdure.records.reader import ReaderJar, RecordReader
from perdure.records.references import Reference, all_references, parse_reference, references
from perdure.records.rewriting import with_other_oids
from perdure.records.writer import RecordWriter, WriterJar

__all__ = [
    "EXPORT_END",
    "EXPORT_MAGIC",
    "PROTOCOL",
    "Broken",
    "BrokenModified",
    "ClassMetadata",
    "ClassPolicy",
    "ExportedRecord",
    "PersistentBroken",
    "PersistentReference",
    "ReaderJar",
    "RecordReader",
    "RecordWriter",
    "Reference",
    "WriterJar",
    "all_references",
    "blob_start",
    "class_metadata",
    "class_name",
    "exported",
    "find_global",
    "is_blob",
    "parse_reference",
    "persistent_broken",
    "plain_record",
    "rebuild",
    "records_in_export",
    "references",
    "resolve_conflict",
    "with_other_oids",
]
