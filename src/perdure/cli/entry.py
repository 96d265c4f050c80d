"""Where the `perdure` command starts, with its extra installed or not."""

import sys
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("click", "rich")


def main() -> int:
    """Run the command line with the arguments of this process, and return its exit code."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"perdure: the command line needs {' and '.join(missing)}; "
            "install what it needs with: pip install 'perdure[cli]'",
            file=sys.stderr,
        )
        return 2
    try:
        # Only now: without the extra, this import fails.
        from perdure.cli.program import program

        program(prog_name="perdure")
        return 0  # not reached: the program ends with SystemExit
    except KeyboardInterrupt:  # while the program was still being imported
        print("perdure: interrupted", file=sys.stderr)
        return 130
