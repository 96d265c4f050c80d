"""`python -m ZODB.scripts.fstest`: whether a data file is sound; see `perdure check`."""

import getopt
import sys

from perdure.tools import check_file

__all__ = ["main"]


def main(args: list[str] | None = None) -> None:
    """Print what is found, and exit with 1 if that is damage."""
    usage = "usage: python -m ZODB.scripts.fstest [-v] FILE"
    try:
        _, arguments = getopt.getopt(sys.argv[1:] if args is None else args, "v")
    except getopt.error as error:
        raise SystemExit(f"{error}\n{usage}") from None
    if len(arguments) != 1:
        raise SystemExit(usage)
    checked = check_file(arguments[0], follow_references=False)
    for finding in checked.findings:
        print(finding)
    print(f"{checked.name}: {checked.records} records, {checked.transactions} transactions")
    if not checked.sound:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
