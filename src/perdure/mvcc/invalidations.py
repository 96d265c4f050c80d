"""Who has to forget what: the journal of recent commits that all snapshots share.

Every commit appends one entry, in the order of tids; every snapshot reads from
where it stopped. So a commit costs the same however many snapshots there are,
and nothing is copied per snapshot.

A snapshot that never reads (a connection lying in its pool) must not keep the
journal from shrinking. Past `limit` oids the oldest entries are dropped, and
whoever had not read them is told that everything may have changed: slower for
that one, correct for all.
"""

import threading
from collections.abc import Collection, Iterable, Set
from typing import Final
from weakref import WeakSet

from perdure.ids import ZERO

__all__ = ["Announcement", "Journal", "JournalReader"]


_Entry = tuple[bytes, Collection[bytes] | None, object]
"""A tid, oids (None: everything), the token of the reader whose own commit this is."""

_NOTHING: Final = frozenset[bytes]()


class JournalReader:
    """One snapshot's place in the journal."""

    def __init__(self, journal: "Journal", position: int) -> None:
        self._journal = journal
        self.position = position
        # What entries know it by: did they hold the reader, it would live as long as they.
        self.token = object()

    def take(self, tid: bytes) -> Set[bytes] | None:
        """Return the oids that others changed up to `tid` and that were not taken yet.

        Returns None if everything may have changed. What was committed after
        `tid` stays for the next call.
        """
        journal = self._journal
        # A commit is here before it can be asked for: nothing new now is nothing up to `tid`.
        return _NOTHING if self.position == journal.end else journal.take(self, tid)


class Journal:
    """Recent commits, oldest first; entries are numbered on for ever.

    `limit` is the number of oids it holds before it forgets its oldest entries.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._entries: list[_Entry] = []
        self._first = 0  # the number of the oldest entry held
        self.end = 0  # that of the next entry
        self._forgotten = ZERO  # the tid of the newest entry that somebody missed
        self._oids = 0
        self._readers: WeakSet[JournalReader] = WeakSet()
        self._lock = threading.Lock()
        self._sweep_at = 64

    def reader(self) -> JournalReader:
        """Return a reader of everything that is appended from now on."""
        with self._lock:
            reader = JournalReader(self, self.end)
            self._readers.add(reader)
            return reader

    def append(
        self, tid: bytes, oids: Iterable[bytes], origin: JournalReader | None = None
    ) -> None:
        """Note that the transaction `tid` changed `oids`; `origin` itself need not be told.

        A set that is given is kept, and must not be changed any more.
        """
        if not isinstance(oids, set):
            oids = frozenset(oids)
        with self._lock:
            if origin is None:
                self._append((tid, oids, None))
                return
            self._append((tid, oids, origin.token))
            if origin.position + 1 == self.end:
                origin.position = self.end  # it had taken all before, and this is its own

    def append_everything(self, tid: bytes) -> None:
        """Note that anything may have changed up to `tid`."""
        with self._lock:
            self._append((tid, None, None))

    def take(self, reader: JournalReader, tid: bytes) -> Set[bytes] | None:
        """See `JournalReader.take`."""
        with self._lock:
            start = reader.position - self._first
            if start < 0 and tid < self._forgotten:
                # It will have to be told again once its snapshot gets that far.
                return None
            changed: set[bytes] = set()
            everything = start < 0
            stop = start = max(start, 0)
            token = reader.token
            for entry_tid, oids, origin in self._entries[start:]:
                if entry_tid > tid:
                    break
                stop += 1
                if oids is None:
                    everything = True
                elif origin is not token:
                    changed.update(oids)
            reader.position = self._first + stop
            return None if everything else changed

    def _append(self, entry: _Entry) -> None:
        entries = self._entries
        entries.append(entry)
        self.end += 1
        self._oids += len(entry[1] or ())
        if len(entries) >= self._sweep_at or self._oids > self._limit:
            self._sweep()

    def _sweep(self) -> None:
        read_by_all = min((reader.position for reader in self._readers), default=self.end)
        drop = min(max(read_by_all - self._first, 0), len(self._entries))
        self._oids -= sum(len(oids or ()) for _, oids, _ in self._entries[:drop])
        # The newest entry stays even when it alone is over the limit.
        while self._oids > self._limit and drop < len(self._entries) - 1:
            self._forgotten, oids, _ = self._entries[drop]
            self._oids -= len(oids or ())
            drop += 1
        del self._entries[:drop]
        self._first += drop
        # Sweeping looks at every reader; doubling makes that rare.
        self._sweep_at = max(64, 2 * len(self._entries))


class Announcement:
    """Called with the tid of a commit, tells a journal of it; see `Journal.append`.

    It runs nobody else's code, and takes no lock that is held for more than a moment: a
    storage may call it from any thread.
    """

    __slots__ = ("_journal", "_oids", "_origin")

    def __init__(
        self, journal: Journal, oids: Iterable[bytes], origin: JournalReader | None = None
    ) -> None:
        self._journal = journal
        self._oids = oids
        self._origin = origin

    def __call__(self, tid: bytes) -> None:
        self._journal.append(tid, self._oids, self._origin)
