"""The machine can fail: a storage that breaks a promise is found out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.breakages import BREAKAGES, broken
from model.engines import PERDURE, ZODB, Product
from model.running import drive


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.__name__)
@pytest.mark.parametrize("product", [ZODB, PERDURE], ids=lambda product: product.name)
def test_a_broken_promise_is_found(
    product: Product, breakage: Callable[[Any], Any], tmp_path: Path
) -> None:
    drive(broken(product, breakage, but_not=True), tmp_path / "sound", examples=5)
    found = None
    try:
        drive(broken(product, breakage), tmp_path / "broken", examples=200, shrink=False)
    except Exception as error:  # whatever the broken promise led to
        found = error
    assert found is not None, f"{breakage.__name__} went unnoticed"
