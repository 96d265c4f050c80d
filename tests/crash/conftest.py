"""Where crashes happen: a directory, and a file system of its own."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.crashing import Place, place_in
from crash.ext4 import Device, Unavailable, ext4_device, why_not
from crash.verdict import fast_directory


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as place:
        yield place


@pytest.fixture
def device(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Device]:
    caplog.set_level(100)  # hundreds of storages that say what they set aside
    if reason := why_not():
        pytest.skip(reason)
    gc.collect()
    gc.freeze()  # whoever unmounts collects garbage before: it is to be quick
    try:
        with fast_directory(tmp_path) as directory, ext4_device(directory) as device:
            yield device
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        gc.unfreeze()
