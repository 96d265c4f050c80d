"""Where crashes happen, and that there are enough of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.crashing import Place, place_in


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as place:
        yield place
