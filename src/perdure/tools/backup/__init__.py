"""Backups of data files, in full and of what was added, and their way back."""

from perdure.tools.backup.making import BackedUp, back_up
from perdure.tools.backup.manifest import BackedUpBlob, Manifest
from perdure.tools.backup.restoring import Restored, restore

__all__ = ["BackedUp", "BackedUpBlob", "Manifest", "Restored", "back_up", "restore"]
