"""Tells pytest to explain the suites' assertions; must be imported before them.

pytest rewrites `assert` in modules that it collects. The suites are imported by
such modules instead, so without this a failure would say only "AssertionError".
"""

import sys
from pathlib import Path

import pytest

_suites = {f"{__package__}.{path.stem}" for path in Path(__file__).parent.glob("*.py")}
pytest.register_assert_rewrite(*sorted(_suites - sys.modules.keys()))
