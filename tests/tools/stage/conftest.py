from collections.abc import Iterator
from pathlib import Path

import pytest

from samples.staging import Library


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path)
    yield library
    library.db.close()
