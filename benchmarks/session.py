"""One engine's part in a run: a workload is prepared, then carried out round by round.

An engine has a process of its own, `RemoteSession`: so Perdure with native code and
without it can take turns with ZODB in one run, and no product's objects are in the
way of another's garbage collector. With one engine alone there is no need of
that, and a profiler sees it: `LocalSession`.
"""

import importlib
import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks import allocator
from benchmarks.engines import Engine
from benchmarks.syncs import slowed
from benchmarks.workload import (
    WORKLOADS,
    NotAvailableError,
    Prepare,
    Round,
    Sample,
    Stopwatch,
)

__all__ = ["LocalSession", "RemoteSession", "Session", "SessionFailedError", "Settings"]

ENDING_S = 30  # for a process that has nothing to do any more


class SessionFailedError(Exception):
    """The process of an engine ended, or its work raised; the message says what it said."""


class _ProcessEndedError(SessionFailedError):
    """The process of an engine is not there any more."""


@dataclass(frozen=True)
class Settings:
    """What holds for the whole run, in all processes alike."""

    collecting: bool = True
    slow_syncs_s: float = 0.0

    def as_arguments(self) -> list[str]:
        """Return the settings as arguments of a program."""
        return [str(int(self.collecting)), str(self.slow_syncs_s)]

    @classmethod
    def from_arguments(cls, collecting: str, slow_syncs_s: str) -> "Settings":
        """Return the settings that a program got as arguments."""
        return cls(bool(int(collecting)), float(slow_syncs_s))


class Session(Protocol):
    """What a run asks of each engine, in this order; `end` also after an error."""

    def prepare(self, workload: str, directory: Path, size: int) -> None:
        """Make the data and do a round that does not count.

        Raises `NotAvailableError` if the engine lacks what it takes.
        """

    def round(self) -> dict[str, Sample]:
        """Carry out one round.

        Raises `NotAvailableError` as `prepare` does.
        """

    def end(self) -> None:
        """Let go of the prepared workload."""

    def close(self) -> None:
        """Let go of everything."""


class LocalSession:
    """Works in this process."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._run = ExitStack()
        self._prepared = ExitStack()
        self._once: Round | None = None
        os.environ.update(engine.environment)
        importlib.import_module("benchmarks.workloads")  # registers them
        allocator.settle()
        Stopwatch.collecting = settings.collecting
        if settings.slow_syncs_s:
            # Before the replacement, what replaces must be loaded everywhere.
            if "FileStorage" in engine.places:
                engine.get("FileStorage")
            self._run.enter_context(slowed(settings.slow_syncs_s))

    def prepare(self, workload: str, directory: Path, size: int) -> None:
        prepare = WORKLOADS[workload].prepare
        if self._engine.own:
            prepare = _own(self._engine, workload)
        self._once = self._prepared.enter_context(prepare(self._engine, directory, size))
        self._once()  # warms up code, caches and the file

    def round(self) -> dict[str, Sample]:
        assert self._once is not None
        return self._once()

    def end(self) -> None:
        self._once = None
        self._prepared.close()

    def close(self) -> None:
        self.end()
        self._run.close()


def _own(engine: Engine, workload: str) -> Prepare:
    """Return the workload as the engine's module has it."""
    try:
        module = importlib.import_module(engine.own)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "benchmarks":
            raise
        install = "pip install '.[benchmarks]'"
        raise NotAvailableError(f"{package} is not installed; {install}") from error
    prepares: dict[str, Prepare] = module.PREPARES
    if workload not in prepares:
        raise NotAvailableError(f"{engine.name} has only {', '.join(prepares)}")
    return prepares[workload]


class RemoteSession:
    """Has `benchmarks.worker` do it, in a process whose environment is the engine's.

    Requests and answers are lines of JSON.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", engine.name, *settings.as_arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **engine.environment},
        )

    def prepare(self, workload: str, directory: Path, size: int) -> None:
        self._ask("prepare", workload=workload, directory=str(directory), size=size)

    def round(self) -> dict[str, Sample]:
        return {metric: Sample(*fields) for metric, fields in self._ask("round").items()}

    def end(self) -> None:
        with suppress(_ProcessEndedError):  # then there is nothing left to let go of
            self._ask("end")

    def close(self) -> None:
        """End the process, with whatever it was doing."""
        with self._process:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):  # of a request that nobody reads any more
                self._process.stdin.close()  # which is what it waits for
            try:
                self._process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _ask(self, what: str, **details: str | int) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = self._process.stdout.readline()
        if not answer:
            code = self._process.wait()
            raise _ProcessEndedError(f"{self._engine.name}: its process ended with {code}")
        content = json.loads(answer)
        if "missing" in content:
            raise NotAvailableError(content["missing"])
        if "error" in content:
            raise SessionFailedError(f"{self._engine.name}: {content['error']}")
        return content["result"]
