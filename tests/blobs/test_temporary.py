"""Blob directories that go with their storage."""

import gc
import os

from perdure.blobs import TemporaryBlobs
from processes import python


def test_the_directory_is_made_when_it_is_asked_for_and_removed_by_close() -> None:
    blobs = TemporaryBlobs()
    assert blobs.made is None

    path = blobs.directory.path
    assert blobs.made is blobs.directory
    assert path.is_dir()
    (path / "file").write_bytes(b"")
    blobs.close()
    blobs.close()

    assert not path.exists()


def test_closing_what_was_never_used_is_harmless() -> None:
    TemporaryBlobs().close()


def test_it_goes_when_nobody_has_it_any_more() -> None:
    blobs = TemporaryBlobs()
    path = blobs.directory.path

    del blobs
    gc.collect()

    assert not path.exists()


def test_it_goes_when_the_process_ends_but_not_with_a_fork_of_it() -> None:
    code = (
        "import os, sys\n"
        "from perdure.blobs import TemporaryBlobs\n"
        "blobs = TemporaryBlobs()\n"
        "path = blobs.directory.path\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "print(path.exists(), path)\n"
    )
    done = python("-c", code)

    exists, path = done.stdout.split()
    assert exists == "True"
    assert not os.path.exists(path)
