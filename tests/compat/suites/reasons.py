"""Why tests of other packages that pass on ZODB fail on Perdure: one list, printed by the docs."""

import re
from typing import Final, NamedTuple

__all__ = ["REASONS", "Reason", "reason_for"]


class Reason(NamedTuple):
    """Why the tests of `packages` whose names `pattern` finds fail on Perdure."""

    packages: tuple[str, ...]
    pattern: str
    why: str


REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        ("ZEO", "zc.zlibstorage"),
        r"^checkInterfaceFromRemoteStorage",
        "It compares the list of interfaces that a file storage declares, item by item. "
        "Perdure's declares more, and a client takes those that it knows.",
    ),
    Reason(
        ("ZEO", "zc.zlibstorage"),
        r"^checkPackUndoLog",
        "It packs to a moment between two revisions of an object that nothing refers to, and "
        "expects that the first one goes. In Perdure what was written later than the pack time "
        "stays as it was, with what it stands on; so nothing is dropped, and the log still lists "
        "all transactions.",
    ),
    Reason(
        ("ZEO",),
        r"^(errors_in_vote_should_clear_lock|lock_sanity_check|some_basic_locking_tests) ",
        "They store text as a record. A record is bytes.",
    ),
    Reason(
        ("ZEO",),
        r"^(proper_handling_of_blob_conflicts|dont_log_poskeyerrors_on_server) ",
        "They compare the message of an error. It is the right error; the message says more.",
    ),
    Reason(
        ("ZEO",),
        r"^checkExceptionLogsAtError ",
        "It asks for the history of None, of the length None, and expects that the first of two "
        "wrong arguments is told. Perdure tells the second.",
    ),
    Reason(
        ("ZEO",),
        r"^ZODB/tests/IExternalGC.test$",
        "It loads the blob of an object that was deleted and packed. The server raises "
        "MissingBlobError, which is a POSKeyError; ZEO's client makes errors anew by the names on "
        "a list of its own, on which this one is not, and raises ServerException.",
    ),
    Reason(
        ("ZEO",),
        r"^ZODB/tests/blob_connection.txt$",
        "It expects that MappingStorage refuses blobs. Perdure's keeps them.",
    ),
    Reason(
        ("ZEO",),
        r"^ZODB/tests/blob_transaction.txt$",
        "It compares the messages of errors, counts directories called savepoint..., and expects "
        "TypeError for an open file in a state, which is an UnpicklableError in Perdure. (Fails "
        "on ZODB too if the superuser runs it, who may write files that nobody may.)",
    ),
    Reason(
        ("ZEO",),
        r"^commit_from_wrong_partition ",
        "It expects a line in the log for each blob that is copied because it cannot be renamed.",
    ),
    Reason(
        ("RelStorage",),
        r"^test_storage_has_data ",
        "It iterates over a file storage that was closed. ZODB's opens the file again for that; "
        "Perdure refuses whatever is asked of a closed storage.",
    ),
    Reason(
        ("RelStorage",),
        r"^checkRestoreWithMultipleObjectsInUndoRedo .*FromFileStorage",
        "It calls _data_find, an internal method of ZODB's file storage.",
    ),
    Reason(
        ("RelStorage",),
        r"^checkPackBrokenPickle ",
        "It expects zodbpickle's exception for a damaged record. Perdure's is StateLoadError.",
    ),
    Reason(
        ("RelStorage",),
        r"^checkPrefetch ",
        "RelStorage has a method that loads ahead, and declares no interface that says so. Perdure "
        "goes by what is declared, and does not call it.",
    ),
    Reason(
        ("RelStorage",),
        r"^test_(commit_while_open|committed_when_uncommitted|reading_outside_transaction) ",
        "They compare the message of an error. It is of the same class in both.",
    ),
    Reason(
        ("RelStorage",),
        r"^test_(non_)?optimistic_savepoints ",
        "They count the directories called savepoint... among the temporary files of blobs. "
        "Perdure keeps a savepoint's blobs in files of other names.",
    ),
    Reason(
        ("zodburi",),
        r"::test_client_resolver_invoke_factory_w_demostorage$",
        "It makes a demo storage over a server that is not there. Perdure's looks at its base when "
        "it is made, so that it notices if that changes later.",
    ),
    Reason(
        ("zc.beforestorage",),
        r"README.rst$",
        "It is one test of 144 examples, of which three differ. Two show a moment, which depends "
        "on how often the clock was asked. One expects ValueError from a closed storage, which "
        "raises StorageClosedError in Perdure.",
    ),
)


def reason_for(package: str, name: str) -> str | None:
    """Return why this test fails; None if nobody knows."""
    for reason in REASONS:
        if package in reason.packages and re.search(reason.pattern, name):
            return reason.why
    return None
