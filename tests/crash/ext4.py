"""An ext4 file system of our own, in a file, of which the power can be cut.

`shut_down` has the file system stop at once: nothing more reaches its disk, what was
in memory is lost, as in a power cut. Mounting it again replays its journal.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

__all__ = ["Device", "Unavailable", "ext4_device", "why_not"]

_SHUTDOWN: Final = 0x8004587D
"""EXT4_IOC_SHUTDOWN."""

_NO_LOG_FLUSH: Final = struct.pack("I", 2)
"""Not even the journal is written first."""

_SIZE_BYTES: Final = 24 << 20
_TOOLS: Final = ("mkfs.ext4", "losetup", "mount", "umount")
_TIMEOUT_S: Final = 60


class Unavailable(Exception):
    """This machine does not let us mount a file system; the reason is its text."""


def why_not() -> str:
    """Return what this machine lacks, "" where it may work."""
    if not sys.platform.startswith("linux"):
        return f"this is {sys.platform}, the ioctl is Linux's"
    if os.geteuid() != 0:
        return "mounting a file system needs root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"there is no {' and no '.join(missing)}" if missing else ""


class Device:
    """A loop device with an ext4 file system, mounted at `place` between `mount` and `unmount`."""

    def __init__(self, device: str, place: Path) -> None:
        self._device = device
        self.place = place

    def mount(self) -> None:
        _run("mount", "-t", "ext4", self._device, self.place)

    def unmount(self) -> None:
        _run("umount", self.place)

    def shut_down(self, just_before: Callable[[], object] = lambda: None) -> None:
        """Cut the power: later writes fail, and what was not synced is lost.

        `just_before` is called when nothing is left to do but the cut.
        """
        descriptor = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Were it not mounted, the machine's own file system would be shut down.
            if os.fstat(descriptor).st_dev != os.stat(self._device).st_rdev:
                raise RuntimeError(f"{self._device} is not mounted at {self.place}")
            just_before()
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(descriptor)


@contextmanager
def ext4_device(directory: Path) -> Iterator[Device]:
    """Make a file system in a file in `directory`; unmount it and let go of it in any case.

    Raises `Unavailable` where that is not possible.
    """
    image, place = directory / "ext4.img", directory / "mount"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(_SIZE_BYTES)
    with ExitStack() as undo:
        _try("make an ext4 file system", "mkfs.ext4", "-q", "-F", image)
        loop = _try("get a loop device", "losetup", "--find", "--show", image).strip()
        undo.callback(_run, "losetup", "--detach", loop)
        device = Device(loop, place)
        undo.callback(_unmount_if_mounted, place)
        _try("mount ext4 from a loop device", "mount", "-t", "ext4", loop, place)
        try:
            device.shut_down()
        except OSError as error:
            raise Unavailable(f"cannot shut ext4 down (EXT4_IOC_SHUTDOWN): {error}") from None
        device.unmount()
        yield device


def _unmount_if_mounted(place: Path) -> None:
    if os.path.ismount(place):
        # Lazily: after a failure files may still be open there.
        _run("umount", "--lazy", place)


def _try(what: str, *command: str | Path) -> str:
    try:
        return _run(*command)
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"cannot {what}: {error.stderr.strip()}") from None


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
    )
    return done.stdout
