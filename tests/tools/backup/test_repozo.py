"""Backups that the real repozo made are restored."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ZODB.scripts import repozo

from perdure.clock import time_of
from perdure.errors import BackupError
from perdure.storages import FileStorage
from perdure.tools import restore

Commit = Callable[[int], bytes]


@pytest.fixture
def run_repozo(path: Path, backups: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(tid: bytes, *options: str) -> None:
        """Make a backup half a second after a transaction."""
        moment = datetime.fromtimestamp(time_of(tid) + 2, UTC)
        monkeypatch.setattr(repozo, "gen_filedate", lambda options: moment.timetuple()[:6])
        repozo.main(["-B", "-r", str(backups), "-f", str(path), *options])

    backups.mkdir()
    return run


@pytest.fixture
def tids(
    commit: Commit, run_repozo: Callable[..., None], request: pytest.FixtureRequest
) -> list[bytes]:
    """Return the tids of six transactions: two, then a backup, three times."""
    tids = []
    for hour in range(6):
        tids.append(commit(hour))
        if hour % 2:
            run_repozo(tids[-1], *getattr(request, "param", ()))
    return tids


@pytest.mark.parametrize("tids", [(), ("-z",)], indirect=True)
def test_what_repozo_backed_up_is_restored(
    path: Path, backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    assert len([p for p in backups.iterdir() if ".deltafs" in p.name]) == 2
    done = restore(backups, tmp_path / "new.fs")
    assert done.last_tid == tids[-1]
    assert (tmp_path / "new.fs").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("tids", [(), ("-z",)], indirect=True)
def test_every_moment_is_restored(
    path: Path, backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    for tid in tids:
        done = restore(backups, tmp_path / "new.fs", at=tid, force=True)
        assert (done.last_tid, done.incomplete) == (tid, "")
        assert path.read_bytes().startswith((tmp_path / "new.fs").read_bytes())


def test_the_newest_full_backup_before_a_moment_is_used(
    path: Path, backups: Path, commit: Commit, run_repozo: Callable[..., None], tmp_path: Path
) -> None:
    first, between = commit(1), None
    run_repozo(first)
    between = commit(2)
    run_repozo(commit(3), "-F")
    assert restore(backups, tmp_path / "a.fs", at=first).last_tid == first
    done = restore(backups, tmp_path / "b.fs", at=between)
    assert done.last_tid == first
    assert "is in no backup of that moment" in done.incomplete


@pytest.mark.parametrize("tids", [(), ("-z",)], indirect=True)
def test_damage_is_named(backups: Path, tids: list[bytes], tmp_path: Path) -> None:
    for damaged in sorted(p for p in backups.iterdir() if "fs" in p.suffix):
        intact = damaged.read_bytes()
        damaged.write_bytes(intact[:100] + bytes([intact[100] ^ 1]) + intact[101:])
        with pytest.raises(BackupError, match=damaged.name):
            restore(backups, tmp_path / "new.fs")
        damaged.write_bytes(intact[:-1])
        with pytest.raises(BackupError, match=damaged.name):
            restore(backups, tmp_path / "new.fs")
        damaged.write_bytes(intact)
    (dat,) = backups.glob("*.dat")
    lines = dat.read_text()
    dat.write_text(lines[: lines.rindex("\n", 0, -1) + 1])
    with pytest.raises(BackupError, match="no line about"):
        restore(backups, tmp_path / "new.fs")
    dat.write_text("what?\n")
    with pytest.raises(BackupError, match="line 1"):
        restore(backups, tmp_path / "new.fs")
    dat.unlink()
    with pytest.raises(BackupError, match=r"\.dat: found no file"):
        restore(backups, tmp_path / "new.fs")


def test_an_addition_without_its_full_backup_is_named(
    backups: Path, tids: list[bytes], tmp_path: Path
) -> None:
    (full,) = backups.glob("*.fs")
    full.unlink()
    with pytest.raises(BackupError, match="a full backup before it"):
        restore(backups, tmp_path / "new.fs")


def test_what_was_restored_opens(backups: Path, tids: list[bytes], tmp_path: Path) -> None:
    restore(backups, tmp_path / "new.fs")
    storage = FileStorage(tmp_path / "new.fs")
    assert [transaction.tid for transaction in storage.iterator()] == tids
    storage.close()
