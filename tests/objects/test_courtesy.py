"""Who loads steps aside while a commit is under way, now and then, and only then."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import native
from perdure.fileops import FileOperations
from perdure.objects import Connection
from perdure.objects.courtesy import Pacing, committing
from processes import python
from samples.objects import Node

ASIDE_S = 20e-6  # a load takes a tenth of it


def load_time_s(
    connection: Connection, node: Node, before: Callable[[], object] = lambda: None
) -> float:
    """Return the shortest time of some loads, each longer than a turn after the last one.

    `before` is called right before each.
    """
    times = []
    for _ in range(20):
        node._p_deactivate()
        until = time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass
        before()
        start = time.perf_counter()
        node._p_activate()
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_load_steps_aside_while_a_commit_is_under_way(one: Connection) -> None:
    one.root.node = node = Node()
    one.transaction_manager.commit()
    with committing:
        assert load_time_s(one, node) > ASIDE_S
    with pytest.raises(ZeroDivisionError), committing:
        _ = 1 // 0
    assert load_time_s(one, node) < 10 * ASIDE_S


def commit_something() -> None:
    with committing:
        pass


def test_who_has_just_committed_does_not_step_aside(one: Connection) -> None:
    one.root.node = node = Node()
    one.transaction_manager.commit()
    with committing:
        assert load_time_s(one, node, before=commit_something) < ASIDE_S
        assert load_time_s(one, node) > ASIDE_S


def test_that_another_thread_has_just_committed_changes_nothing(one: Connection) -> None:
    one.root.node = node = Node()
    one.transaction_manager.commit()

    def in_another_thread() -> None:
        thread = threading.Thread(target=commit_something)
        thread.start()
        thread.join(30)

    with committing:
        assert load_time_s(one, node, before=in_another_thread) > ASIDE_S


def test_one_steps_aside_once_in_a_turn() -> None:
    pacing = Pacing()
    pacing.give_way()
    for _ in range(100):
        start = time.perf_counter()
        pacing.give_way()
        if time.perf_counter() - start < ASIDE_S:
            return
    pytest.fail("it steps aside each time")


def test_a_commit_gets_through_beside_threads_that_only_load(
    one: Connection, connect: Callable[[], Connection]
) -> None:
    one.root.nodes = [Node(number=0) for _ in range(20)]
    one.transaction_manager.commit()
    done = threading.Event()
    started = threading.Barrier(3)
    loaded: list[int] = []

    def load() -> None:
        connection = connect()
        nodes = connection.root.nodes
        started.wait(30)
        while not done.is_set():
            connection.cacheMinimize()
            loaded.append(sum(node.number is not None for node in nodes))
        connection.close()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        started.wait(30)
        for number in range(50):
            for node in one.root.nodes:
                node.number = number
            one.transaction_manager.commit()
    finally:
        done.set()
        for thread in threads:
            thread.join(30)
    assert set(loaded) <= {20}


def test_who_was_away_has_its_turn_soon_beside_threads_that_load(
    one: Connection, connect: Callable[[], Connection], tmp_path: Path
) -> None:
    if not native.courtesy:
        pytest.skip("pure Python cannot tell")
    one.root.nodes = [Node(number=0) for _ in range(200)]
    one.transaction_manager.commit()
    done, loading = threading.Event(), threading.Event()

    def load() -> None:
        connection = connect()
        nodes = connection.root.nodes
        while not done.is_set():
            connection.cacheMinimize()
            for node in nodes:
                assert node.number == 0
            loading.set()
        connection.close()

    thread = threading.Thread(target=load)
    thread.start()
    operations = FileOperations()
    descriptor = operations.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert loading.wait(30)
        times = []
        for _ in range(200):
            start = time.perf_counter()
            operations.write(descriptor, [b"data"], 0)
            times.append(time.perf_counter() - start)
    finally:
        done.set()
        thread.join(30)
        os.close(descriptor)
    assert sorted(times)[100] < 0.002  # what the interpreter makes others wait for is 5 ms


FORKING = """
import os, sys, time
from perdure import DB, PersistentMapping
from perdure.objects.courtesy import committing

with DB(sys.argv[1]) as db, db.transaction() as connection:
    connection.root.node = node = PersistentMapping(number=1)
    connection.transaction_manager.commit()

    def load_time_s():
        times = []
        for _ in range(20):
            node._p_deactivate()
            time.sleep(0.0003)  # longer than a turn
            start = time.perf_counter()
            node._p_activate()
            times.append(time.perf_counter() - start)
        return min(times)

    with committing:
        aside = load_time_s()
        forked = os.fork()
        if not forked:
            alone = load_time_s()
            os.write(1, f"{aside > 20e-6} {alone < aside / 2}".encode())
    if not forked:
        with committing:
            os.write(1, f" {load_time_s() > 20e-6}".encode())
        os._exit(0)
    os.waitpid(forked, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_does_not_step_aside_for_threads_that_it_does_not_have(
    tmp_path: Path,
) -> None:
    done = python("-c", FORKING, str(tmp_path / "app.fs"))
    assert (done.stdout, done.stderr) == ("True True True", "")
