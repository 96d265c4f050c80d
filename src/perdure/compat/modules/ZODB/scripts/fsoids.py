"""`python -m ZODB.scripts.fsoids`: what happened to some objects of a data file."""

import getopt
import sys

from ZODB.FileStorage.fsoids import Tracer

__all__ = ["Tracer", "main", "usage"]


def usage() -> None:
    """Print how it is used."""
    print("usage: python -m ZODB.scripts.fsoids [-f FILE_WITH_OIDS] FILE [OID...]")


def main() -> None:
    """Trace as the command line says; oids are hexadecimal."""
    try:
        options, arguments = getopt.getopt(sys.argv[1:], "f:")
    except getopt.error as error:
        usage()
        raise SystemExit(str(error)) from None
    if not arguments:
        usage()
        raise SystemExit(2)
    path, *oids = arguments
    for _, name in options:
        with open(name, encoding="utf-8") as file:
            oids += file.read().split()
    tracer = Tracer(path)
    tracer.register_oids(*(int(oid, 16) for oid in oids))
    tracer.run()
    tracer.report()


if __name__ == "__main__":
    main()
