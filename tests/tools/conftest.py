from collections.abc import Iterator

import pytest

import perdure


@pytest.fixture
def db() -> Iterator[perdure.DB]:
    with perdure.DB(None) as db:
        yield db
