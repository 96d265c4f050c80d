"""`python -m perdure.compat`: run a script or a module with ZODB's names installed."""

import os
import runpy
import sys
from pathlib import Path
from typing import Final

from perdure.compat.aliases import install

_USAGE: Final = """\
usage: python -m perdure.compat SCRIPT [ARGUMENT...]
       python -m perdure.compat -m MODULE [ARGUMENT...]

Runs a script or a module in which `import ZODB` leads to Perdure."""


def main() -> None:
    """Run what the arguments name, as Python itself would."""
    arguments = sys.argv[1:]
    if not arguments or arguments == ["-m"]:
        raise SystemExit(_USAGE)
    if arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return
    if arguments[0].startswith("-") and arguments[0] != "-m":
        raise SystemExit(f"{arguments[0]}: there is no such option\n\n{_USAGE}")
    if arguments[0] != "-m" and not Path(arguments[0]).exists():
        raise SystemExit(f"{arguments[0]}: there is no such file\n\n{_USAGE}")
    # For what the program starts: processes of their own read it, as do those of a pool.
    os.environ.setdefault("PERDURE_COMPAT", "1")
    install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
