"""What objects ask of their connection, in C: the usual case, and nothing but that."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from persistent import Persistent, PickleCache

from perdure import DB, FileStorage, native
from perdure.errors import POSKeyError
from perdure.ids import p64
from perdure.objects.turn import Latch, PureLatch
from samples.records_objects import Node, PeeksWhenRead

jar = pytest.importorskip("perdure.native._jar", reason="it is not built")

MakeLatch = Callable[[], Latch]
TID, START = p64(17), p64(18)


class Thing(Persistent):
    pass


class Special(Persistent):
    pass


@contextmanager
def stored(directory: Path, **attributes: Any) -> Iterator[Any]:
    """Store an object with these attributes; yield the root of the database, opened again."""
    for reading in (False, True):
        db = DB(FileStorage(directory / "data.fs"))
        try:
            with db.transaction() as connection:
                if reading:
                    yield connection.root()
                else:
                    connection.root()["thing"] = Node(**attributes)
        finally:
            db.close()


class Connection:
    """As much of one as these objects ask for."""

    def __init__(self, revision: Any = (b"a record", TID, None)) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.otherwise: list[Any] = []
        self.registered: list[Any] = []
        self.added: dict[bytes, Any] = {}
        self.revision = revision
        self.latch = jar.Latch()
        self.latch.closed = False
        self.cache = PickleCache(self, 100, 100)
        self.loading = jar.Loading(self.latch, self.otherwise.append, Special)
        self.loading.load_at = self.load_at
        self.loading.start = START
        self.loading.set_state = self.set_state
        self.call = jar.Call(self.latch, self.latch_is_free)
        self.setstate = self.loading.load
        self.register = jar.Registering(
            self.latch, self.otherwise.append, self, self.registered, self.added
        ).register

    def load_at(self, oid: bytes, start: bytes) -> Any:
        self.asked.append((oid, start))
        if isinstance(self.revision, Exception):
            raise self.revision
        return self.revision

    def set_state(self, obj: Any, record: bytes) -> None:
        assert not self.latch_is_free()
        obj.__dict__["record"] = record

    def latch_is_free(self) -> bool:
        """Return whether another thread would be let in."""
        found = []

        def try_it() -> None:
            found.append(self.latch.acquire(False))
            if found[0]:
                self.latch.release()

        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join(30)
        return bool(found[0])

    def ghost(self, cls: type = Thing) -> Any:
        ghost = cls()
        self.cache.new_ghost(p64(1), ghost)
        return ghost


@pytest.mark.parametrize("make", [PureLatch, jar.Latch], ids=["pure", "native"])
def test_a_latch_lets_one_thread_in_any_number_of_times(make: MakeLatch) -> None:
    latch = make()
    assert latch.closed
    assert latch.acquire(False)
    assert latch.acquire(True, 5.0)
    seen = []

    def from_elsewhere() -> None:
        seen.append(latch.acquire(False))
        seen.append(latch.acquire(True, 0.01))
        with pytest.raises(RuntimeError):
            latch.release()

    thread = threading.Thread(target=from_elsewhere)
    thread.start()
    thread.join(30)
    assert seen == [False, False]
    latch.release()
    latch.release()
    with pytest.raises(RuntimeError):
        latch.release()


@pytest.mark.parametrize("make", [PureLatch, jar.Latch], ids=["pure", "native"])
def test_whoever_waits_for_a_latch_gets_it_when_it_is_free(make: MakeLatch) -> None:
    latch = make()
    inside, leave = threading.Event(), threading.Event()

    def occupy() -> None:
        latch.acquire(False)
        inside.set()
        leave.wait(30)
        latch.release()

    thread = threading.Thread(target=occupy)
    thread.start()
    assert inside.wait(30)
    assert not latch.acquire(False)
    leave.set()
    assert latch.acquire(True, 30.0)
    thread.join(30)


def test_a_call_lets_its_thread_in_and_out_whatever_happens() -> None:
    connection = Connection()
    refused: list[str] = []
    call = jar.Call(connection.latch, lambda: refused.append("otherwise"))
    with call:
        assert not connection.latch_is_free()
        with call:
            assert not connection.latch_is_free()
    assert connection.latch_is_free()
    with pytest.raises(ZeroDivisionError), call:
        _ = 1 // 0
    assert connection.latch_is_free()
    assert refused == []


def test_a_call_of_a_closed_connection_or_a_second_thread_is_left_to_python() -> None:
    connection = Connection()

    def refuse() -> None:
        raise PermissionError

    call = jar.Call(connection.latch, refuse)
    seen: list[bool] = []

    def from_elsewhere() -> None:
        try:
            with call:
                seen.append(True)
        except PermissionError:
            seen.append(False)

    with call:
        thread = threading.Thread(target=from_elsewhere)
        thread.start()
        thread.join(30)
    assert seen == [False]
    connection.latch.closed = True
    with pytest.raises(PermissionError), call:
        pass
    # Python may let it in nevertheless, as it does who has to finish.
    with jar.Call(connection.latch, lambda: connection.latch.acquire(False) and None):
        assert not connection.latch_is_free()
    assert connection.latch_is_free()


def test_a_call_that_did_not_begin_does_not_end() -> None:
    call = jar.Call(jar.Latch(), int)
    with pytest.raises(RuntimeError, match="not inside"):
        call.__exit__(None, None, None)


def test_a_ghost_gets_state_serial_and_size() -> None:
    connection = Connection((b"r" * 1000, TID, None))
    ghost = connection.ghost()
    assert ghost.record == b"r" * 1000
    assert (ghost._p_serial, ghost._p_changed) == (TID, False)
    assert connection.asked == [(p64(1), START)]
    assert ghost._p_estimated_size == connection.cache.total_estimated_size == 1024
    assert connection.loading.loads == 1
    assert connection.latch_is_free()


@pytest.mark.parametrize(
    "revision",
    [None, KeyError("gone"), POSKeyError(p64(1)), (b"record", b"short", None), ("text", TID), ()],
    ids=repr,
)
def test_what_is_missing_or_odd_is_left_to_python(revision: Any) -> None:
    connection = Connection(revision)
    ghost = connection.ghost()
    ghost._p_activate()
    assert connection.otherwise == [ghost]
    assert connection.loading.loads == 0
    assert connection.latch_is_free()


@pytest.mark.parametrize("size", [1, 4000, 8100, 8191, 8192, 8193, 32768, 70000])
def test_records_of_any_size_are_loaded_from_a_file(tmp_path: Path, size: int) -> None:
    with stored(tmp_path, first=bytes(range(256)) * (size // 256) + bytes(size % 256)) as root:
        loaded = root["thing"].first
        assert loaded == bytes(range(256)) * (size // 256) + bytes(size % 256)


def test_a_load_in_the_midst_of_a_load_leaves_the_bytes_of_the_first_alone(tmp_path: Path) -> None:
    other = Node(name="other", text="o" * 300)
    attributes = {"known": Node(name="known"), "peek": PeeksWhenRead(other, 3), "text": "t" * 500}
    with stored(tmp_path, **attributes, other=other, again=Node(**attributes)) as root:
        assert root["thing"].known.name == "known"  # from here on, the decoder knows the class
        thing = root["thing"].again
        root["thing"].other._p_deactivate()
        assert thing.text == "t" * 500
        assert thing.peek == ["other"] * 3
        assert root["thing"].other.text == "o" * 300


def test_classes_and_special_objects_are_left_to_python() -> None:
    connection = Connection()
    special = connection.ghost(Special)
    special._p_activate()
    connection.setstate(Thing)
    assert connection.otherwise == [special, Thing]


def test_an_error_passes_and_lets_the_next_one_in() -> None:
    connection = Connection(ZeroDivisionError())
    ghost = connection.ghost()
    with pytest.raises(ZeroDivisionError):
        ghost._p_activate()
    assert ghost._p_changed is None
    assert connection.latch_is_free()
    connection.revision = (b"record", TID, None)

    def refuse(obj: Any, record: bytes) -> None:
        raise ValueError(record)

    connection.loading.set_state = refuse
    with pytest.raises(ValueError, match="record"):
        ghost._p_activate()
    assert connection.latch_is_free()


def test_a_closed_connection_and_a_second_thread_are_left_to_python() -> None:
    connection = Connection()
    ghost = connection.ghost()
    connection.latch.closed = True
    connection.setstate(ghost)
    connection.register(ghost)
    assert connection.otherwise == [ghost, ghost]
    connection.latch.closed = False
    connection.registered.append(ghost)
    connection.latch.acquire(False)
    thread = threading.Thread(
        target=lambda: (connection.setstate(ghost), connection.register(ghost))
    )
    thread.start()
    thread.join(30)
    assert connection.otherwise == [ghost] * 4
    assert connection.registered == [ghost]


def test_a_change_is_registered_once_the_connection_has_joined() -> None:
    connection = Connection()
    ghost = connection.ghost()
    ghost.name = "changed"
    assert connection.otherwise == [ghost]  # which would join, and register
    connection.registered.append(None)
    connection.register(ghost)
    assert connection.registered == [None, ghost]
    connection.added[p64(7)] = ghost
    connection.register(ghost)
    assert connection.otherwise == [ghost, ghost]


def test_an_object_of_another_connection_is_left_to_python() -> None:
    connection, other = Connection(), Connection()
    ghost = other.ghost()
    connection.registered.append(None)
    connection.register(ghost)
    assert connection.otherwise == [ghost]
    assert connection.registered == [None]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        jar.Latch(1)
    with pytest.raises(TypeError):
        jar.Call(None, None)
    with pytest.raises(TypeError):
        jar.Loading(None, None, None)
    with pytest.raises(TypeError):
        jar.Registering(jar.Latch(), None, None, (), {})


def test_a_connection_and_what_serves_it_go_together() -> None:
    connection = Connection()
    gone = weakref.ref(connection.loading.load_at.__self__)
    del connection
    gc.collect()
    assert gone() is None


def test_a_database_uses_it_where_it_is_built() -> None:
    assert native.jar is None or native.jar is jar
