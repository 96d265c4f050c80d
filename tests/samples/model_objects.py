"""What the model's databases hold beside BTrees: a node that refers, a counter that resolves."""

from typing import Any

from persistent import Persistent
from persistent.mapping import PersistentMapping

__all__ = ["Counter", "Node"]


class Node(PersistentMapping):
    """Integers and other persistent objects by name; two changes of one never merge."""


class Counter(Persistent):
    """A number; changes of two transactions add up."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def _p_resolveConflict(
        self, old: dict[str, Any], committed: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:
        return {**new, "value": committed["value"] + new["value"] - old["value"]}
