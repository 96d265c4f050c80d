"""What holds for all tests."""

import os

from hypothesis import settings

# A build that fails must fail again when it is run again; by hand, examples are new each time.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
