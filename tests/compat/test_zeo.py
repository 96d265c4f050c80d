"""ZEO on Perdure, and with ZODB at the other end of the line: processes over loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processes import python

HERE = Path(__file__).parent
UNDER = {"perdure": ["-m", "perdure.compat"], "ZODB": []}


@contextmanager
def server(which: str, directory: Path) -> Iterator[str]:
    """Run a server; yield its port."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", *UNDER[which], str(HERE / "zeo_server.py")),
            *(str(directory / "d.fs"), str(directory / "blobs")),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        assert port, process.communicate(timeout=30)[1]
        yield port
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("serving", "asking"), [("perdure", "perdure"), ("perdure", "ZODB"), ("ZODB", "perdure")]
)
def test_two_clients_of_a_server(tmp_path: Path, serving: str, asking: str) -> None:
    with server(serving, tmp_path) as port:
        clients = str(HERE / "zeo_clients.py")
        ran = python("-W", "ignore", *UNDER[asking], clients, port, str(tmp_path))
        assert ran.returncode == 0, ran.stderr
        assert ("/perdure/" in ran.stdout) == (asking == "perdure")
