"""Where processor time goes, by looking again and again: at Python code, and at all code.

A `Sampler` looks while a `Stopwatch` runs. A timer has Python say whose function is running, some
1,000 times a second; C functions count for who called them, and what waits for a sync is left
out. ``perf``, where there is one, says of processor time which library it goes to, and what the
system does for the process.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from operator import sub
from pathlib import Path
from types import FrameType

from benchmarks.syncs import SyncCounter
from benchmarks.syncs import __name__ as SYNCING  # noqa: N812  the module of what waits

__all__ = ["CallCounter", "Sampler"]

EVERY_S = 0.001
PATIENCE_S = 20.0

OF_PYTHON = {  # what is in a function's name, and what it is about
    "the interpreter's loop": ("_PyEval_EvalFrameDefault",),
    "garbage collector": ("gc_", "visit_", "_traverse", "traverse_", "subtract_refs", "move_unr"),
    "allocation": ("Malloc", "malloc", "_Free", "_free", "PyObject_GC_New", "Arena", "GC_Del"),
    "freeing objects": ("dealloc",),
    "texts, dictionaries, other objects": ("unicode", "Unicode", "ict", "long", "bytes", "list"),
}
OF_LIBRARIES = {
    "persistent": ("cPersistence", "cPickleCache", "_timestamp", "ring"),
    "BTrees": ("BTree", "_fsBTree"),
    "the system": ("[",),  # the kernel and what it maps
    "the C library": ("libc.", "libc-", "ld-linux", "libpthread"),
    "checksums": ("crc32c", "_google_crc32c"),
}


class Sampler:
    """Looks between `begin` and `finish`, and adds up how long that was.

    `seconds` is all of it, `processor_s` of the processor, `syncs_s` of what `syncs` counts.
    `by_package` has samples by package of the Python code, `by_library` by library, empty
    without ``perf``, of which `problem` then says why.
    """

    def __init__(self, place: Path, syncs: SyncCounter) -> None:
        self.seconds = self.processor_s = self.syncs_s = 0.0
        self.by_package: Counter[str] = Counter()
        self.by_library: Counter[str] = Counter()
        self.problem = ""
        self._syncs = syncs
        self._perf = _Perf(place)
        signal.signal(signal.SIGALRM, self._look)

    def begin(self) -> None:
        self._perf.tell("enable")
        signal.setitimer(signal.ITIMER_REAL, EVERY_S, EVERY_S)
        self._before = time.perf_counter(), time.process_time(), self._syncs.seconds

    def finish(self) -> None:
        after = time.perf_counter(), time.process_time(), self._syncs.seconds
        seconds, processor_s, syncs_s = map(sub, after, self._before)
        self.seconds += seconds
        self.processor_s += processor_s
        self.syncs_s += syncs_s
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._perf.tell("disable")

    def close(self) -> None:
        """Stop looking, and count what was seen."""
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        self.problem = self._perf.end()
        if not self.problem:
            self.by_library = self._perf.samples()

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        module = str(frame.f_globals.get("__name__")) if frame is not None else ""
        if module != SYNCING:
            self.by_package[_package(module)] += 1


class CallCounter:
    """Counts the calls that a `Stopwatch` times, by what is called: `python` or `c`."""

    def __init__(self) -> None:
        self.python = self.c = 0

    def begin(self) -> None:
        sys.setprofile(self._note)

    def finish(self) -> None:
        sys.setprofile(None)
        # The stopwatch's own: its end and this function; the clock, twice, and the line above.
        self.python -= 2
        self.c -= 3

    def _note(self, _frame: FrameType, event: str, _function: object) -> None:
        if event == "call":
            self.python += 1
        elif event == "c_call":
            self.c += 1


def _package(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "perdure":
        return ".".join(parts[:2])
    if parts[0] in ("__main__", "benchmarks"):
        return "the work itself"
    if parts[0] in sys.stdlib_module_names or parts[0].startswith("namedtuple_"):
        return "the standard library"
    return parts[0]


class _Perf:
    """``perf record``, on this process, told when to look through a pipe."""

    def __init__(self, place: Path) -> None:
        self._file = place / "perf.data"
        self._problem = ""
        self._process: subprocess.Popen[bytes] | None = None
        if shutil.which("perf") is None:
            self._problem = "there is no perf"
            return
        pipes = [place / "perf.control", place / "perf.answers"]
        for pipe in pipes:
            os.mkfifo(pipe)
        # For both directions, so that opening does not wait for who may never come.
        self._control, self._answers = (os.open(pipe, os.O_RDWR) for pipe in pipes)
        self._process = subprocess.Popen(
            [
                *("perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-D", "-1"),
                *("-p", str(os.getpid()), "-o", str(self._file)),
                f"--control=fifo:{pipes[0]},{pipes[1]}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def tell(self, what: str) -> None:
        if self._problem:
            return
        os.write(self._control, what.encode() + b"\n")
        readable, _, _ = select.select([self._answers], [], [], PATIENCE_S)
        if readable:
            os.read(self._answers, 100)
        else:
            self._problem = "perf does not work here"

    def end(self) -> str:
        """Have it write what it saw; return why it saw nothing, if so."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)
            os.close(self._control)
            os.close(self._answers)
        return self._problem

    def samples(self) -> Counter[str]:
        told = subprocess.run(
            ["perf", "script", "-i", str(self._file), "-F", "ip,sym,dso"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found: Counter[str] = Counter()
        for line in told.replace(" (deleted)", "").splitlines():  # built anew meanwhile
            _place, _space, rest = line.strip().partition(" ")
            symbol, _space, library = rest.rpartition(" ")
            found[_part(Path(library.strip("()")).name, symbol)] += 1
        return found


def _part(library: str, symbol: str) -> str:
    """Return what a function of a library is part of."""
    if library.startswith(("python", "libpython")):
        for part, names in OF_PYTHON.items():
            if any(name in symbol for name in names):
                return part
        return "the rest of Python"
    for part, names in OF_LIBRARIES.items():
        if any(name in library for name in names):
            return part
    return library.partition(".")[0]
