"""The place of one blob: a file for each revision, in a directory beside the records."""

from perdure.blobs.blobfile import BlobFile
from perdure.blobs.directory import BlobDirectory
from perdure.blobs.files import copy_into, copy_stream, link_or_copy, move, unused_path
from perdure.blobs.layout import BLOB_SUFFIX, BUSHY, LAWN, LAYOUTS, SAVEPOINT_SUFFIX, Layout
from perdure.blobs.opening import open_blob_directory
from perdure.blobs.packing import pack_blobs
from perdure.blobs.staging import StagedBlobs
from perdure.blobs.temporary import TemporaryBlobs

__all__ = [
    "BLOB_SUFFIX",
    "BUSHY",
    "LAWN",
    "LAYOUTS",
    "SAVEPOINT_SUFFIX",
    "BlobDirectory",
    "BlobFile",
    "Layout",
    "StagedBlobs",
    "TemporaryBlobs",
    "copy_into",
    "copy_stream",
    "link_or_copy",
    "move",
    "open_blob_directory",
    "pack_blobs",
    "unused_path",
]
