"""Where a pickle names a global, found without running it.

Opcodes whose argument has a fixed size, or ends with its line, are skipped in
runs by one regular expression; only strings are stepped over one by one, by the
length they carry. The sizes come from `pickletools`.
"""

import pickletools
import re
from collections.abc import Iterator
from pickle import UnpicklingError
from typing import Final

__all__ = ["globals_in"]

_LENGTH_SIZE: Final = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_TWO_LINES: Final = ("GLOBAL", "INST")


def _tables() -> tuple[dict[int, bytes], bytes, dict[int, int]]:
    """Return opcodes by size of argument, those that end with a line, those with a length."""
    fixed: dict[int, bytes] = {}
    lines = b""
    counted = {}
    for opcode in pickletools.opcodes:
        code = opcode.code.encode("latin-1")
        size = 0 if opcode.arg is None else opcode.arg.n
        if opcode.name in _TWO_LINES:
            continue
        if size in _LENGTH_SIZE:
            counted[code[0]] = _LENGTH_SIZE[size]
        elif size == pickletools.UP_TO_NEWLINE:
            lines += code
        else:
            fixed[size] = fixed.get(size, b"") + code
    return fixed, lines, counted


_FIXED, _LINES, _COUNTED = _tables()

# An oid is by far the most frequent string in a record, so it counts as fixed.
_RUN: Final = re.compile(
    b"(?:"
    + b"|".join(b"[%s].{%d}" % (re.escape(codes), size) for size, codes in sorted(_FIXED.items()))
    + rb"|C\x08.{8}|[%s][^\n]*\n|i[^\n]*\n[^\n]*\n)*+" % re.escape(_LINES),
    re.DOTALL,
)
_GLOBAL_CODE: Final = ord("c")
_GLOBAL: Final = re.compile(rb"c[^\n]*\n[^\n]*\n")


def globals_in(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each GLOBAL opcode in one or several pickles in a row.

    Raises `pickle.UnpicklingError` where `data` is not pickles.
    """
    position, size = 0, len(data)
    while position < size:
        run = _RUN.match(data, position)
        position = run.end() if run is not None else position
        if position == size:
            break
        code = data[position]
        if code == _GLOBAL_CODE:
            found = _GLOBAL.match(data, position)
            if found is None:
                raise UnpicklingError(f"byte {position}: the name of a global is cut short")
            yield found.span()
            position = found.end()
        elif code in _COUNTED:
            start = position + 1 + _COUNTED[code]
            position = start + int.from_bytes(data[position + 1 : start], "little")
        else:
            raise UnpicklingError(f"byte {position}: found {data[position:][:1]!r}, not an opcode")
    if position > size:
        raise UnpicklingError(f"byte {size}: a string is cut short")
