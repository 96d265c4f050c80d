"""Calls of the system, in C; that they bring a turn soon is tested with objects."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perdure.fileops import FileOperations, write_all
from processes import python

courtesy = pytest.importorskip("perdure.native._courtesy", reason="it is not built")


@pytest.fixture
def descriptor(tmp_path: Path) -> Any:
    made = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield made
    os.close(made)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b"one"],
        (b"one", b"", b"two"),
        [bytearray(b"one"), memoryview(b"two"), memoryview(bytearray(b"three"))[1:3]],
        [b"%d" % number for number in range(64)],
    ],
)
def test_it_writes_as_the_system_does(
    descriptor: int, tmp_path: Path, pieces: Sequence[bytes]
) -> None:
    expected = tmp_path / "expected"
    with expected.open("wb") as file:
        written = os.pwritev(file.fileno(), pieces, 5) if pieces else 0
    assert courtesy.write(descriptor, pieces, 5) == written
    assert (tmp_path / "file").read_bytes() == expected.read_bytes()


def test_of_many_pieces_it_takes_the_first_ones(descriptor: int, tmp_path: Path) -> None:
    pieces = [b"%04d" % number for number in range(1000)]
    written = courtesy.write(descriptor, pieces, 0)
    assert 0 < written < 4000
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)[:written]
    assert write_all(FileOperations(), descriptor, pieces, 0) == 4000
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_it_syncs_files_and_their_descriptors(descriptor: int, tmp_path: Path) -> None:
    with (tmp_path / "file").open("rb") as file:
        for each in (descriptor, file):
            assert courtesy.sync(each) is os.fdatasync(each) is None


def test_it_reads_as_the_system_does(descriptor: int) -> None:
    os.pwrite(descriptor, b"0123456789", 0)
    for size, position in [(4, 0), (0, 0), (10, 0), (4, 8), (4, 10), (4, 100), (1 << 16, 5)]:
        assert courtesy.read(descriptor, size, position) == os.pread(descriptor, size, position)


def error_of(call: Any, *args: Any) -> tuple[type, Any] | None:
    try:
        call(*args)
    except (OSError, TypeError, ValueError) as error:
        return type(error), getattr(error, "errno", None)
    return None


def test_its_errors_are_those_of_the_system(descriptor: int) -> None:
    reading, writing = os.pipe()
    with open(os.devnull, "rb") as unwritable:
        for args in [(reading,), (-1,), (1 << 20,), ("no file",), ()]:
            assert error_of(courtesy.sync, *args) == error_of(os.fdatasync, *args)
        for args in [
            (writing, [b"data"], 0),
            (unwritable.fileno(), [b"data"], 0),
            (1 << 20, [b"data"], 0),
            (descriptor, [b"data", "text"], 0),
            (descriptor, 5, 0),
            (descriptor, [b"data"]),
        ]:
            error = error_of(courtesy.write, *args)
            assert error is not None
            assert error == error_of(os.pwritev, *args)
    for args in [
        (reading, 4, 0),
        (1 << 20, 4, 0),
        (descriptor, -1, 0),
        (descriptor, 4, -1),
        (descriptor, 4),
        (descriptor, "4", 0),
    ]:
        error = error_of(courtesy.read, *args)
        assert error is not None
        assert error == error_of(os.pread, *args)
    os.close(reading)
    os.close(writing)


def test_what_it_could_not_write_is_free_again(descriptor: int) -> None:
    piece = bytearray(b"data")
    with pytest.raises(TypeError):
        courtesy.write(descriptor, [piece, None], 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        courtesy.write(1 << 20, [piece], 0)
    courtesy.write(descriptor, [piece], 0)
    piece.extend(b"more")  # refused while somebody holds it


# What a file of this machine would hardly ever do.
INTERRUPTING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/uio.h>

int interruptions; /* that are still to come */

#define INTERRUPTED(type, name, parameters, arguments)        \
    type name parameters {                                    \
        type(*real) parameters = dlsym(RTLD_NEXT, #name);     \
        if (interruptions == 0) return real arguments;        \
        interruptions--;                                      \
        raise(SIGUSR1);                                       \
        errno = EINTR;                                        \
        return -1;                                            \
    }

INTERRUPTED(int, fdatasync, (int f), (f))
INTERRUPTED(ssize_t, pread, (int f, void *to, size_t n, long at), (f, to, n, at))
INTERRUPTED(ssize_t, pread64, (int f, void *to, size_t n, off64_t at), (f, to, n, at))
INTERRUPTED(ssize_t, pwritev, (int f, const struct iovec *of, int n, long at), (f, of, n, at))
INTERRUPTED(ssize_t, pwritev64, (int f, const struct iovec *of, int n, off64_t at), (f, of, n, at))
"""

INTERRUPTED = """
import ctypes, os, signal, sys
from perdure.native import _courtesy as courtesy

interruptions = ctypes.c_int.in_dll(ctypes.CDLL(None), "interruptions")
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
came = []
signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
for call, *args in [(courtesy.write, [b"1", b"2"], 1), (courtesy.sync,), (courtesy.read, 9, 0)]:
    interruptions.value = 3
    print(call(file, *args), len(came))

def refuse(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGUSR1, refuse)
for call, *args in [(courtesy.write, [b"never"], 9), (courtesy.sync,), (courtesy.read, 9, 0)]:
    interruptions.value = 1
    try:
        call(file, *args)
    except KeyboardInterrupt:
        print("ended")
print(os.path.getsize(sys.argv[1]))
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="calls of the system are replaced by the loader"
)
def test_a_signal_does_not_end_a_call_unless_its_handler_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no compiler {compiler}")
    source, library = tmp_path / "interrupting.c", tmp_path / "interrupting.so"
    source.write_text(INTERRUPTING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    preloaded = os.environ.get("LD_PRELOAD", "")
    monkeypatch.setenv("LD_PRELOAD", f"{preloaded} {library}")
    done = python("-c", INTERRUPTED, str(tmp_path / "file"))
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        *("2 3", "None 6", "b'\\x0012' 9"),
        *("ended", "ended", "ended", "3", ""),
    ]


@pytest.mark.parametrize("is_local", [True, False])
def test_it_tells_which_file_a_path_stands_for(
    descriptor: int, tmp_path: Path, is_local: bool
) -> None:
    held, path = os.fstat(descriptor), tmp_path / "file"
    identity = held.st_dev, held.st_ino
    assert courtesy.names_file(os.fsencode(path), *identity, is_local) is True
    assert courtesy.names_file(os.fsencode(tmp_path), *identity, is_local) is False
    assert courtesy.names_file(os.fsencode(path), held.st_dev + 1, held.st_ino, is_local) is False
    assert courtesy.names_file(os.fsencode(path), held.st_dev, held.st_ino + 1, is_local) is False
    (tmp_path / "link").symlink_to(path)
    path.rename(tmp_path / "other")
    assert courtesy.names_file(os.fsencode(path), *identity, is_local) is False
    assert courtesy.names_file(os.fsencode(tmp_path / "link"), *identity, is_local) is False
    path.write_bytes(b"")
    assert courtesy.names_file(os.fsencode(path), *identity, is_local) is False
    assert courtesy.names_file(os.fsencode(tmp_path / "other"), *identity, is_local) is True
    with pytest.raises(NotADirectoryError, match="beneath"):
        courtesy.names_file(os.fsencode(path / "beneath"), *identity, is_local)
    with pytest.raises(ValueError, match="null"):
        courtesy.names_file(b"\0", *identity, is_local)


def test_it_knows_files_of_this_machine_and_no_others(descriptor: int) -> None:
    assert isinstance(courtesy.is_local(descriptor), bool)
    if sys.platform == "linux":
        in_memory = os.memfd_create("file")
        assert courtesy.is_local(in_memory) is True
        os.close(in_memory)
    reading, writing = os.pipe()
    assert courtesy.is_local(reading) is False
    os.close(reading)
    os.close(writing)
    with pytest.raises(ValueError, match="-1"):
        courtesy.is_local(-1)
