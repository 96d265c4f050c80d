"""pytest fixtures: a database for each test, which is thrown away after it.

It is a layer over data that is prepared once. Between the two there may be
layers of a module and of a class:

    perdure_base         session  the data of all tests; override it
    perdure_module_base  module   the same, unless a module overrides it
    perdure_class_base   class    the same, unless a class overrides it
    perdure_db           test     a database over it, and over the layers of its marks
    perdure_connection   test     a connection to it, under the thread's transaction manager
    perdure_root         test     the root of that connection

pytest loads this module wherever Perdure is installed, so it imports nothing
else of Perdure before a fixture is used.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from perdure.objects.connection import Connection
    from perdure.objects.root import RootConvenience
    from perdure.opening import DB
    from perdure.testing.layers import Layer

_MARK = "perdure"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARK}(layers=(), base=None): below the test's database, put layers that these "
        "functions fill, and all of them on another base: a storage, what makes one, or an address",
    )


@pytest.fixture(scope="session")
def perdure_build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """A function that builds a database file once, also for all workers of pytest-xdist.

    `perdure_build(fill, name="base")` calls `fill(connection)` in the process that
    comes first and returns the address of the file.
    """
    from perdure.testing.building import build_file

    place = tmp_path_factory.getbasetemp()
    if place.name.startswith("popen-gw"):
        place = place.parent  # of pytest-xdist: each worker has a directory in the run's

    def build(fill: "Callable[[Connection], Any]", name: str = "base") -> str:
        return build_file(place / f"perdure-{name}" / f"{name}.fs", fill)

    return build


@pytest.fixture(scope="session")
def perdure_base() -> Any:
    """The data of all tests: nothing. Override it to return a database, a storage or an address."""
    return None


@pytest.fixture(scope="module")
def perdure_module_base(perdure_base: Any) -> Any:
    """The data of a module's tests: those of all. Override it to put a layer on that."""
    return perdure_base


@pytest.fixture(scope="class")
def perdure_class_base(perdure_module_base: Any) -> Any:
    """The data of a class's tests: those of the module. Override it to put a layer on that."""
    return perdure_module_base


@pytest.fixture
def _perdure_layer(request: pytest.FixtureRequest) -> "Iterator[Layer]":
    from perdure.testing.layers import Layer

    fills, base = _marked(request.node)
    with ExitStack() as closing:
        if base is None:
            base = request.getfixturevalue("perdure_class_base")
        elif callable(base):
            base = base()
            closing.callback(base.close)
        name = request.node.nodeid
        if fills:
            below = Layer(base, f"the marks of {name}")
            closing.callback(below.close)
            for fill in fills:
                below.push(fill)
            base = below
        layer = Layer(base, name)
        closing.callback(layer.close)
        yield layer


def _marked(item: pytest.Item) -> tuple[list[Callable[..., Any]], Any]:
    """Return the functions that fill layers, the lowest first, and the base or None."""
    fills: list[Callable[..., Any]] = []
    base = None
    for mark in reversed(list(item.iter_markers(_MARK))):  # the closest comes last
        layers = mark.kwargs.get("layers", ())
        # A positional function would not mark the test: pytest would mark the function.
        if mark.args or set(mark.kwargs) - {"base", "layers"} or not all(map(callable, layers)):
            raise pytest.UsageError(
                f"{item.nodeid}: found the mark {_MARK} with {mark.args!r} and {mark.kwargs!r}, "
                "expected layers=[functions that fill one] or base="
            )
        fills += layers
        base = mark.kwargs.get("base", base)
    return fills, base


@pytest.fixture
def perdure_db(_perdure_layer: "Layer") -> "DB":
    """A database for this test: what is committed to it is gone afterwards."""
    return _perdure_layer.db


@pytest.fixture
def perdure_connection(perdure_db: "DB", _perdure_layer: "Layer") -> "Iterator[Connection]":
    """A connection to the test's database, under the thread's transaction manager."""
    import transaction

    transaction.begin()
    connection = perdure_db.open()
    yield connection
    try:
        _perdure_layer.close(expected=[connection])
    finally:
        transaction.abort()


@pytest.fixture
def perdure_root(perdure_connection: "Connection") -> "RootConvenience":
    """The root of the test's database: its items as attributes; called, the mapping itself."""
    return perdure_connection.root
