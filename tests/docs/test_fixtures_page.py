"""The page about test fixtures: its modules are a suite that passes."""

import re
import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "fixtures.rst"
_BLOCK = re.compile(r"\.\. code-block:: python\n   :caption: (\w+\.py)\n\n((?:   .*\n|\n)+)")


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_the_modules_of_the_page_pass_as_they_stand_there(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    modules = dict(_BLOCK.findall(PAGE.read_text()))
    assert set(modules) == {"conftest.py", "test_first.py", "test_prices.py", "test_orders.py"}
    for name, text in modules.items():
        (pytester.path / name).write_text(textwrap.dedent(text))
    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers", *workers)
    result.assert_outcomes(passed=7)
