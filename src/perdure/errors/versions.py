"""Names that outlived what they were for."""

import transaction.interfaces

from perdure.errors.root import POSError


class VersionError(POSError):
    """Versions, which ZODB gave up long ago, were asked for."""


class VersionCommitError(VersionError):
    """An invalid combination of versions was committed (kept for its name)."""


class VersionLockError(VersionError, transaction.interfaces.TransactionError):
    """An object was locked by a version (kept for its name)."""
