"""Prepared data in a file, built once, whoever asks first.

The processes of a parallel test run take turns by a lock on a file beside the
data. What is built has another name until it is whole, so that a build that was
killed is begun anew.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from perdure.objects.connection import Connection
from perdure.opening import DB

__all__ = ["build_file"]


def build_file(path: str | PathLike[str], fill: Callable[[Connection], Any]) -> str:
    """Return the address of a database file at `path`, with blobs beside it.

    If it is not there, it is made, and `fill` is called with a connection to it,
    in a transaction that is committed afterwards. Another process or thread that
    asks for the same path waits until the file is whole. If `fill` raises, no
    file is left.

    The file is to be read only; `perdure.testing.layer` opens it so.
    """
    whole = Path(path).absolute()
    blobs = whole.with_name(f"{whole.name}.blobs")
    whole.parent.mkdir(parents=True, exist_ok=True)
    with whole.with_name(f"{whole.name}.building").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not whole.exists():
            _build(whole, blobs, fill)
    return f"file:?{urlencode({'path': whole, 'blob_dir': blobs})}"


def _build(whole: Path, blobs: Path, fill: Callable[[Connection], Any]) -> None:
    place = whole.with_name(f"{whole.name}.unfinished")
    shutil.rmtree(place, ignore_errors=True)  # of a build that was killed
    shutil.rmtree(blobs, ignore_errors=True)
    place.mkdir()
    try:
        unfinished = place / whole.name
        db = DB(unfinished, blob_dir=str(place / "blobs"))
        try:
            with db.transaction() as connection:
                fill(connection)
        finally:
            db.close()
        os.replace(place / "blobs", blobs)
        os.replace(f"{unfinished}.index", f"{whole}.index")
        os.replace(unfinished, whole)  # the last: with it the data is there
    finally:
        shutil.rmtree(place)
