"""Where keys come from: a file, an environment variable, or a function.

A key is 32 bytes, written as 64 hexadecimal digits or in base 64. There may be
several, one to a line (in a variable also separated by commas): the first one
encrypts, the others are for reading what was encrypted before. Empty lines, and what
follows a ``#``, do not count.
"""

import logging
import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from perdure.errors import KeySourceError
from perdure.records.keyring import KEY_SIZE, KeyRing, new_key

__all__ = ["keys_from_environment", "keys_from_file", "keys_from_function", "write_key_file"]

log = logging.getLogger("perdure.storages")

_EXPECTED: Final = f"keys of {KEY_SIZE} bytes, in hexadecimal or base 64, one to a line"
_LARGEST_FILE: Final = 1 << 20


def keys_from_file(path: str | os.PathLike[str]) -> KeyRing:
    """Return the keys in a file; `KeySourceError` if it cannot be read, or has none.

    A file that others than its owner may read gets a warning in the log.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LARGEST_FILE)
    except OSError as error:
        found = f"a file that cannot be read: {error.strerror}"
        if isinstance(error, FileNotFoundError):
            found = "no file"
        raise KeySourceError(path, found, _EXPECTED) from None
    if mode & 0o077:
        log.warning(
            "%s: others than its owner may read this key file (mode %o)", path, mode & 0o777
        )
    return _ring(path, text.decode("ascii", "replace"))


def keys_from_environment(variable: str) -> KeyRing:
    """Return the keys in an environment variable; `KeySourceError` if it is unset, or has none."""
    source = f"environment variable {variable}"
    text = os.environ.get(variable)
    if text is None:
        raise KeySourceError(source, "nothing: it is not set", _EXPECTED)
    return _ring(source, text)


def keys_from_function(function: Callable[[], bytes | Iterable[bytes]]) -> KeyRing:
    """Return the keys that `function` returns: one, or several, that to encrypt with first.

    Raises `KeySourceError` for what are no keys, and what the function raises.
    """
    found = function()
    keys = [found] if isinstance(found, bytes) else list(found)
    source = getattr(function, "__qualname__", repr(function))
    if not keys or any(not isinstance(key, bytes) or len(key) != KEY_SIZE for key in keys):
        sizes = ", ".join(f"{len(key)} bytes" for key in keys) or "none"
        raise KeySourceError(source, f"keys of {sizes}", f"keys of {KEY_SIZE} bytes each")
    return KeyRing(keys[0], keys[1:])


def write_key_file(path: str | os.PathLike[str]) -> KeyRing:
    """Write a new key to a file that only its owner may read; return it as a ring.

    If there is such a file, the new key becomes the first one, to encrypt with from now
    on, and those that are there stay for reading. Raises `KeySourceError` if the
    file is no key file, and `OSError`.
    """
    target = Path(path)
    older = ""
    if target.exists():
        keys_from_file(target)
        older = target.read_text("ascii")
    draft = target.with_name(f"{target.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"{new_key().hex()}\n{older}")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, target)
    return keys_from_file(target)


def _ring(source: str | os.PathLike[str], text: str) -> KeyRing:
    words = [word for line in re.split("[\n,]", text) if (word := line.partition("#")[0].strip())]
    if not words:
        raise KeySourceError(source, "no key", _EXPECTED)
    current, *older = [_key(source, number, word) for number, word in enumerate(words, 1)]
    return KeyRing(current, older)


def _key(source: str | os.PathLike[str], number: int, word: str) -> bytes:
    # What is found is never shown: it may be a key after all.
    try:
        key = bytes.fromhex(word)
    except ValueError:
        try:
            key = b64decode(word, validate=True)
        except ValueError:
            found = f"in place of key {number}, {len(word)} characters that are no key"
            raise KeySourceError(source, found, _EXPECTED) from None
    if len(key) != KEY_SIZE:
        raise KeySourceError(source, f"key {number} of {len(key)} bytes", _EXPECTED)
    return key
