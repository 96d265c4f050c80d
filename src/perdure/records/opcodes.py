"""What stands where in a pickle, found without running it.

Opcodes whose argument has a fixed size, or ends with its line, are skipped in
runs by one regular expression; only strings are stepped over one by one, by the
length they carry, and the few opcodes that are asked for. The sizes come from
`pickletools`, which is loaded when the first pickle is looked at: with native code
hardly any is.
"""

import re
from collections.abc import Iterator
from functools import cache
from pickle import UnpicklingError
from typing import Final

__all__ = ["globals_in", "memo_overflow"]

_TWO_LINES: Final = b"ci"  # GLOBAL and INST
_LONGEST_RUN: Final = 1000  # opcodes


@cache
def _opcodes() -> tuple[dict[int, bytes], dict[int, int]]:
    """Return patterns of the opcodes without a string, and the length's size of those with one."""
    import pickletools

    length_sizes = {
        pickletools.TAKEN_FROM_ARGUMENT1: 1,
        pickletools.TAKEN_FROM_ARGUMENT4: 4,
        pickletools.TAKEN_FROM_ARGUMENT4U: 4,
        pickletools.TAKEN_FROM_ARGUMENT8U: 8,
    }
    patterns, counted = {}, {}
    for opcode in pickletools.opcodes:
        code = opcode.code.encode("latin-1")
        size = 0 if opcode.arg is None else opcode.arg.n
        if size in length_sizes:
            counted[code[0]] = length_sizes[size]
            continue
        lines = rb"[^\n]*\n" * (1 + (code in _TWO_LINES))
        argument = lines if size == pickletools.UP_TO_NEWLINE else b".{%d}" % size
        patterns[code[0]] = re.escape(code) + argument
    return patterns, counted


@cache
def _run_without(stops: bytes) -> re.Pattern[bytes]:
    """Return what matches opcodes in a row up to a string, or to one of `stops`."""
    patterns = [pattern for code, pattern in _opcodes()[0].items() if code not in stops]
    # An oid is by far the most frequent string in a record, so it is skipped too. Bounded, for
    # each repetition takes memory; not possessive, which would not: up to Python 3.11.4
    # such a match may end behind the beginning of an alternative that fails.
    one = b"|".join([*patterns, rb"C\x08.{8}"])
    return re.compile(b"(?:%b){,%d}" % (one, _LONGEST_RUN), re.DOTALL)


@cache
def _at_stop() -> re.Pattern[bytes]:
    """Return what matches an opcode that a run can end at."""
    return re.compile(b"|".join(_opcodes()[0][code] for code in b"cpr."), re.DOTALL)


def _stops(data: bytes, run: re.Pattern[bytes]) -> Iterator[int]:
    """Yield where opcodes stand that are not in `run`; strings are stepped over.

    Whoever iterates has to match what stands there with `_at_stop`.
    """
    position, size = 0, len(data)
    counted, at_stop = _opcodes()[1], _at_stop()
    while position < size:
        skipped = run.match(data, position)
        before, position = position, skipped.end() if skipped is not None else position
        if position == size:
            return
        length_size = counted.get(data[position])
        if length_size is None:
            if position > before:
                continue  # the run may have been longer than one match
            yield position
            found = at_stop.match(data, position)
            if found is None:
                raise UnpicklingError(f"byte {position}: found {data[position:][:1]!r}, no opcode")
            position = found.end()
        else:
            start = position + 1 + length_size
            position = start + int.from_bytes(data[position + 1 : start], "little")
    if position > size:
        raise UnpicklingError(f"byte {size}: a string is cut short")


def globals_in(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each GLOBAL opcode in one or several pickles in a row.

    Raises `pickle.UnpicklingError` where `data` is not pickles.
    """
    for start in _stops(data, _run_without(b"c")):
        found = _at_stop().match(data, start)
        if found is not None:
            yield found.span()


def memo_overflow(data: bytes, pickles: int) -> bool:
    """Return whether the first `pickles` in `data` number an object beyond all reason.

    CPython's unpickler makes room for every number up to the largest one, so
    that one damaged byte can take all memory. A sound number is smaller than
    the number of bytes. Other damage is the unpickler's to find.
    """
    try:
        for start in _stops(data, _run_without(b"pr.")):
            found = _at_stop().match(data, start)
            if found is None:
                return False
            if found[0] == b".":
                pickles -= 1
                if not pickles:
                    return False
            elif _number(found[0]) > len(data):
                return True
    except UnpicklingError:
        pass  # it cannot be read beyond this either
    return False


def _number(put: bytes) -> int:
    if put[:1] == b"r":
        return int.from_bytes(put[1:], "little")
    try:
        return int(put[1:])
    except ValueError:
        return 0
