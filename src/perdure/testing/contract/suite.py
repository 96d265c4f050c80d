"""What every suite stands on: the fixture to override, and loud failure.

A test module for a storage has one class, which inherits the suites of the
storage's capabilities and says how to make it:

    class TestMine(StorageContract, UndoContract):
        @pytest.fixture
        def make_storage(self, tmp_path):
            return lambda name: MyStorage(tmp_path / name)

`make_storage` takes a name. Another name means another, empty storage; the same
name again, after the first was closed, means the same data if the storage keeps
any (`ReopenContract`) and is not used otherwise.

A suite whose capability the storage does not declare fails, in each of its
tests; so does a declared capability whose suite the class does not inherit.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import perdure.errors
from perdure.capabilities import capabilities_of
from perdure.testing.contract.transactions import AnyStorage

__all__ = ["Clock", "Suite"]


class Clock:
    """A clock that moves when told to; reads as `time.time` does, in seconds."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> float:
        """Move by `seconds`, which may be negative, and return the new time."""
        self.now_s += seconds
        return self.now_s


class Suite:
    """Fixtures and settings; see the module for how to use them."""

    capability: ClassVar[str | None] = None
    """The field of `perdure.capabilities.Capabilities` that a suite needs; None: always there."""

    tested_elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Declared capabilities whose suites another class runs."""

    differences: ClassVar[Mapping[str, str]] = {}
    """Tests that this storage is known to fail, by name, each with the reason.

    They are expected to fail: one that passes is reported as a failure.
    """

    starts_empty: ClassVar[bool] = True
    """Whether a new storage has no transactions yet; a layer over data has some."""

    collects_garbage: ClassVar[bool] = True
    """Whether pack also drops objects that cannot be reached from the root."""

    large_mb: ClassVar[int] = 100
    """The size of the large transaction."""

    errors: ClassVar[Any] = SimpleNamespace(**vars(perdure.errors))
    """Where the error classes are looked up by name."""

    @pytest.fixture
    def make_storage(self) -> Callable[[str], Any]:
        pytest.fail(
            f"{type(self).__name__} has no fixture `make_storage`: "
            "define one that returns a function from a name to a new storage"
        )

    @pytest.fixture
    def open_storage(
        self, make_storage: Callable[[str], AnyStorage]
    ) -> Iterator[Callable[[str], AnyStorage]]:
        opened: list[AnyStorage] = []

        def open_storage(name: str) -> AnyStorage:
            opened.append(make_storage(name))
            return opened[-1]

        yield open_storage
        for storage in reversed(opened):
            storage.close()

    @pytest.fixture
    def storage(
        self, open_storage: Callable[[str], AnyStorage], request: pytest.FixtureRequest
    ) -> AnyStorage:
        storage = open_storage("main")
        suite = self._suite_of(request)
        if suite.capability is not None:
            declared = getattr(capabilities_of(storage), suite.capability)
            if not declared:
                pytest.fail(
                    f"{type(storage).__name__} does not declare {suite.capability!r}, "
                    f"which {suite.__name__} tests: declare it, or leave out the suite"
                )
        return storage

    @pytest.fixture(autouse=True)
    def _expect_known_differences(self, request: pytest.FixtureRequest) -> None:
        name = request.function.__name__
        if name in self.differences:
            reason = self.differences[name]
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """A clock that stands at a whole second, in place of `time.time`."""
        clock = Clock(float(int(time.time())))
        monkeypatch.setattr(time, "time", clock)
        return clock

    def _suite_of(self, request: pytest.FixtureRequest) -> type["Suite"]:
        """Return the suite that a test comes from, also where a subclass overrides it."""
        name = request.function.__name__
        for cls in reversed(type(self).__mro__):
            if name in vars(cls) and issubclass(cls, Suite):
                return cls
        return Suite

    def test_every_declared_capability_has_its_suite_here(self, storage: AnyStorage) -> None:
        tested = {
            cls.capability for cls in type(self).__mro__ if issubclass(cls, Suite)
        } | self.tested_elsewhere
        capabilities = capabilities_of(storage)
        declared = {name for name in capabilities.__slots__ if getattr(capabilities, name)}
        assert declared <= tested, (
            f"declared, but not tested: {sorted(declared - tested)}; "
            "inherit their suites, or name them in `tested_elsewhere`"
        )

    def test_every_known_difference_names_a_test(self) -> None:
        unknown = [name for name in self.differences if name not in dir(self)]
        assert not unknown, f"no such tests: {unknown}"
