"""Processes that commit and pack, and are killed: `kill -9`, at any moment."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.crashing import SEED
from crash.nursery import WORKERS
from crash.workers import check_transactions, check_workers
from perdure.storages.file import FileStorage
from perdure.storages.file.loading import index_path
from perdure.tools import check_file

KILLS = 50
TIMEOUT_S = 60


class Nursery:
    """The process that starts the committing processes, one at a time."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        path = os.pathsep.join([str(here.parent), *filter(None, sys.path)])
        self._heard = b""
        self._process = subprocess.Popen(
            [sys.executable, str(here / "nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def start(self, path: Path, packing: bool) -> int:
        """Start a committing process and return its pid."""
        self._tell(f"{'pack' if packing else 'start'} {path}")
        word, pid = self.line()
        assert word == "pid"
        return int(pid)

    def kill(self, pid: int) -> list[list[str]]:
        """Kill the process; return what it had still said when it is no more."""
        os.kill(pid, signal.SIGKILL)
        self._tell("reap")
        lines = []
        while (line := self.line())[0] != "reaped":
            lines.append(line)
        assert line == ["reaped", str(-signal.SIGKILL)]
        return lines

    def line(self) -> list[str]:
        """Return the words of the next line."""
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT_S)
            assert ready, "nothing was committed for a long time"
            heard = os.read(self._process.stdout.fileno(), 1 << 16)
            assert heard, "the nursery has died"
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        assert not line.startswith(b"failed"), line.decode()
        return line.decode().split()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(TIMEOUT_S)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


class Rounds:
    """A file with which one process after the other goes on; what it had acknowledged."""

    def __init__(self, nursery: Nursery, path: Path) -> None:
        self._nursery = nursery
        self._path = path
        self.acknowledged = dict.fromkeys(range(WORKERS), 0)
        self._first = dict.fromkeys(range(WORKERS), 1)  # that no pack has come over
        self.commits = self.syncs = self.packs = 0

    def run(self, chance: random.Random, packing: bool) -> None:
        """Let a process commit, kill it, and look at what it leaves."""
        pid = self._nursery.start(self._path, packing)
        said: list[list[str]] = []
        try:
            for _ in range(chance.randrange(30)):
                said.append(self._nursery.line())
            time.sleep(chance.uniform(0, 0.008))  # the moment of the kill is to be any
        finally:
            said += self._nursery.kill(pid)
        self._take_note(said)
        self.check(packing)

    def _take_note(self, said: list[list[str]]) -> None:
        syncs = 0
        for word, *numbers in said:
            if word == "done":
                worker, number, syncs = map(int, numbers)
                self.acknowledged[worker] = number
                self.commits += 1
            else:
                self.packs += word == "packed"
        self.syncs += syncs

    def check(self, packing: bool) -> None:
        """Raise `AssertionError` unless the file has all that was acknowledged."""
        storage = FileStorage(self._path)
        try:
            self.acknowledged = check_workers(storage, self.acknowledged)
            first = check_transactions(storage, self.acknowledged)
        finally:
            storage.close()
        assert packing or first == self._first, "transactions from before are missing"
        self._first = first
        assert check_file(self._path).findings == ()


def test_a_killed_process_loses_nothing_that_it_acknowledged(
    nursery: Nursery, tmp_path: Path
) -> None:
    rounds = Rounds(nursery, tmp_path / "data.fs")
    for number in range(KILLS):
        try:
            rounds.run(random.Random(f"{SEED} {number}"), packing=number % 3 == 2)
        except BaseException as error:
            error.add_note(f"seed {SEED}, kill {number}")
            raise
    assert rounds.commits > 2 * KILLS
    assert rounds.packs > 5
    assert rounds.syncs < rounds.commits, "no two commits shared a sync"


def test_a_lost_commit_would_be_noticed(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "data.fs"
    rounds = Rounds(nursery, path)
    for number in range(3):
        rounds.run(random.Random(number), packing=False)
    assert rounds.commits > 3
    length = int.from_bytes(path.read_bytes()[-8:], "big")
    os.truncate(path, path.stat().st_size - length - 8)  # the last transaction
    index_path(path).unlink()
    with pytest.raises(AssertionError, match="found commit"):
        rounds.check(packing=False)
