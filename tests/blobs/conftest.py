from pathlib import Path

import pytest

from perdure.blobs import BlobDirectory, open_blob_directory
from perdure.fileops import FileOperations


class Recording(FileOperations):
    """Notes what is done to the disk, by the name of the call and of the file."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        descriptor = super().open(path, flags, mode)
        self._names[descriptor] = path.name
        return descriptor

    def sync(self, descriptor: int) -> None:
        self.calls.append(("sync", self._names[descriptor]))
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self.calls.append(("rename", target.name))
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self.calls.append(("link", target.name))
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.calls.append(("unlink", path.name))

    def make_directory(self, path: Path, mode: int = 0o777) -> None:
        super().make_directory(path, mode)
        self.calls.append(("make_directory", path.name))

    def sync_directory(self, path: Path) -> None:
        self.calls.append(("sync_directory", path.name))
        super().sync_directory(path)


@pytest.fixture
def operations() -> Recording:
    return Recording()


@pytest.fixture(params=["bushy", "lawn"])
def directory(
    request: pytest.FixtureRequest, tmp_path: Path, operations: Recording
) -> BlobDirectory:
    """An empty blob directory of each layout; what opening it did is not in the record."""
    path = tmp_path / "blobs"
    path.mkdir(mode=0o700)
    (path / ".layout").write_text(request.param)
    directory = open_blob_directory(path, operations)
    operations.calls.clear()
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that somebody wants to be a blob."""
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path
