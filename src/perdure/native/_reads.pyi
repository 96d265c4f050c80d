"""Records of a data file, looked back at."""

from typing import Any

def history(
    descriptor: int, oid: bytes, position: int, most: int, /
) -> tuple[list[dict[str, Any]], int]:
    """Describe up to `most` revisions of an object, the newest being at `position`.

    Returns also where the next one is, 0 if there is none; it may stop early, at one that
    must be looked at.
    """
