"""A data file that another process writes: what came since, and is it still the file."""

from collections.abc import Callable, Iterator

from perdure.errors import FileReplacedError
from perdure.interfaces import StorageWrapper
from perdure.storages.file.format import STATUS_OFFSET
from perdure.storages.file.reader import View
from perdure.storages.file.scan import Scanner, Transaction

__all__ = ["later_transactions", "successor", "take_in", "was_replaced"]


def later_transactions(view: View) -> Iterator[Transaction]:
    """Yield the transactions behind the end of `view` that are complete, oldest first.

    What is under way behind them is left alone: it may be finished later, or cut off.
    """
    if view.file.read(view.end + STATUS_OFFSET, 1) in (b"", b"c"):
        return  # the end of the file, or a reserve: there is no need to read more of it
    scanner = Scanner(view.file, view.file.size())
    position = view.end
    while position < scanner.limit:
        found = scanner.examine(position)
        if not isinstance(found, Transaction):
            return
        yield found
        position = found.end


def was_replaced(view: View) -> bool:
    """Return whether the path names another file by now, or this one has lost transactions."""
    return not view.file.is_at_its_path() or view.file.size() < view.end


def take_in(view: View, wrapper: StorageWrapper | None) -> bool:
    """Make visible what was committed behind the end of `view`; return whether that is anything.

    `wrapper` is told first.
    """
    found = False
    for later in later_transactions(view):
        records = {} if later.header.status == b"u" else later.records
        if wrapper is not None:
            # Before anybody can see it, as in a commit of our own.
            wrapper.invalidate(later.header.tid, list(records))
        view.publish(later.header.tid, records, later.end)
        found = True
    return found


def successor(view: View, open_view: Callable[[], View]) -> View:
    """Return the view of the file that has taken the place of the one of `view`.

    Raises `FileReplacedError` if it is older, or if there is none.
    """
    path = view.file.path
    if not path.exists():
        raise FileReplacedError(path)
    newer = open_view()
    if newer.last_tid < view.last_tid:
        raise FileReplacedError(path)
    return newer
