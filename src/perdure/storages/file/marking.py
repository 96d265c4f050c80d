"""Which records a pack keeps, found by native code: what `needed.Needed` does, faster.

Marking goes in waves, each in the order of the file; what one wave reaches is the next. What
native code does not know, a record that points back or one that is unusual, is read here.

Memory, for each object: 8 bytes for its position and a mark; 8 for the position that is
kept; 16 while it waits to be read. And the largest record, of up to 64 MB.
"""

from collections.abc import Iterator
from typing import Final

from perdure import native
from perdure.errors import StorageError
from perdure.ids import ROOT_OID
from perdure.interfaces import References
from perdure.records.references import ReferenceFinder
from perdure.records.references import references as known_references
from perdure.storages.file.counting import transactions
from perdure.storages.file.format import RECORD_HEADER
from perdure.storages.file.needed import Moment, Needed, Tick, named_by
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Transaction

__all__ = ["Marked", "MarkedNeeds", "Needs", "needs_of"]

_HEADER_SIZE: Final = RECORD_HEADER.size
_AT_ONCE: Final = 1 << 16


class Marked:
    """The positions of the records to keep, and what they have in all; the marks themselves."""

    def __init__(self, marking: "native.filescan.Marking") -> None:
        self.marking = marking
        self.count = marking.count
        self.size_bytes = marking.bytes

    def __iter__(self) -> Iterator[int]:
        """Yield the positions in order."""
        position = self.marking.first_kept(0)
        while position:
            end = position + (1 << 20)
            yield from self.marking.kept(position, end)
            position = self.marking.first_kept(end)


class MarkedNeeds:
    """Finds what is needed of `view`, as of `moment`; with `references` without garbage.

    `moment.current` is emptied. `references` have to be those that the native code finds.
    """

    def __init__(
        self, view: View, moment: Moment, references: References | None, tick: Tick
    ) -> None:
        self._view = view
        self._moment = moment
        self._references = references
        self._tick = tick
        self._positions = native.filescan.Positions()
        pages = moment.current.pages
        while pages:
            prefix, page = pages.popitem()
            self._positions.load(prefix, page.toString())
        self._marking = native.filescan.Marking(view.file.descriptor, moment.end, self._positions)

    def find(self, also: list[bytes]) -> Marked:
        """Return what to keep: of the objects `also`, too, whoever refers to them.

        Raises `StorageError` if there is no root to collect garbage from.
        """
        if self._references is None:
            self._marking.reach_all()
            self._mark()
        else:
            if not self._positions.get(ROOT_OID) and self._moment.objects:
                raise StorageError(
                    f"{self._view.file.path}: there is no root object, so all would be garbage; "
                    "pack without gc"
                )
            self._marking.reach([ROOT_OID, *also])
            self._mark()
            for transaction in transactions(self._view, self._moment.boundary, self._moment.end):
                self._marking.reach(named_by(self._view, transaction, self._references))
                self._mark()
        self._marking.sort()
        return Marked(self._marking)

    def garbage_named_by(self, transaction: Transaction, raw: bytes | None) -> list[bytes]:
        """Return the objects that are not kept, and that a later transaction needs.

        `raw` are its bytes; None if there are too many.
        """
        named = named_by(self._view, transaction, self._references, raw)
        return list(filter(self._is_garbage, named))

    def _is_garbage(self, oid: bytes) -> bool:
        if self._references is None:
            return False
        position = self._positions.get(oid)
        if not position or self._positions.is_reached(oid):
            return False
        return self._before_end(oid, position) != 0

    def _before_end(self, oid: bytes, position: int) -> int:
        """Return which record of `oid` was current at the end, 0 if none was."""
        while position >= self._moment.end:
            position = self._view.previous(oid, position)
        return position

    def _mark(self) -> None:
        more = True
        while more:
            more = self._marking.run(_AT_ONCE)
            self._tick()
            for position in self._marking.take_odd():
                self._look_at(position)
                more = True
            for oid in self._marking.take_newer():
                position = self._before_end(oid, self._positions.get(oid))
                if position:
                    self._marking.await_(position)
                    more = True

    def _look_at(self, position: int) -> None:
        view = self._view
        oid = view.file.record_header(position).oid
        if not view.origin(oid, position):
            return  # it was gone
        data = view.data_at(oid, position)
        self._marking.keep(position, _HEADER_SIZE + len(data))
        if self._references is not None:
            self._marking.reach(self._references(data))


Needs = Needed | MarkedNeeds
"""What finds the records to keep: in Python, or by native code."""


def needs_of(view: View, moment: Moment, references: References | None, tick: Tick) -> Needs:
    """Return what finds the needs: native code where it would find the same `references`."""
    if native.filescan and (references is None or references is known_references):
        return MarkedNeeds(view, moment, references, tick)
    if references is known_references:
        references = ReferenceFinder().find
    return Needed(view, moment, references, tick)
