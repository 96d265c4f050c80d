"""Native code: extension modules in C, each repeating pure functions that are elsewhere.

Perdure works without any of them. Whoever has a pure function with a native twin
chooses once, when it is imported, and keeps the pure one under a name for tests:

    def pure_references(record: bytes) -> list[bytes]: ...

    references = native.scanner.references if native.scanner else pure_references

The C file, and the stub that types it, stand here: `_scanner.c`, `_scanner.pyi`.
`setup.py` builds every C file that it finds. `PERDURE_NATIVE=0` in the environment
switches all of them off.
"""

from perdure.native.loading import (
    SWITCH,
    courtesy,
    decoder,
    encoder,
    filescan,
    jar,
    native_problems,
    pages,
    planning,
    reads,
    relying,
    scanner,
    storing,
    view,
)

__all__ = [
    "SWITCH",
    "courtesy",
    "decoder",
    "encoder",
    "filescan",
    "jar",
    "native_problems",
    "pages",
    "planning",
    "reads",
    "relying",
    "scanner",
    "storing",
    "view",
]
