"""What a `ClassPolicy` lets a record bring to life, and what it keeps asleep."""

import collections
import datetime
import decimal
import functools
import os
import pickle
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef

from perdure.records import Broken, ClassPolicy, find_global, references
from perdure.records.classes import HARMLESS, is_steady
from perdure.records.codec import Pickles, unpickler_of
from samples.records_jar import Jar
from samples.records_objects import Node, Point, Shelf, TakesArguments

NOTHING = ClassPolicy(())
SAMPLES = ClassPolicy(["samples.*"])


def loaded(data: bytes, policy: ClassPolicy) -> Any:
    return unpickler_of(Pickles(data), policy.find_class, lambda stored: None).load()


def through(value: Any, policy: ClassPolicy, protocol: int = 3) -> Any:
    return loaded(pickle.dumps(value, protocol), policy)


@pytest.fixture
def side_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that leaves a file wherever it is imported; yields that file."""
    trace = tmp_path / "imported"
    package = tmp_path / "perdure_side_effects"
    package.mkdir()
    code = f"open({str(trace)!r}, 'a').close()\nfrom os import system\nclass Thing: pass\n"
    (package / "__init__.py").write_text(code)
    (package / "inner.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield trace
    for name in [name for name in sys.modules if name.startswith("perdure_side_effects")]:
        del sys.modules[name]


@pytest.mark.parametrize("module", ["perdure_side_effects", "perdure_side_effects.inner"])
@pytest.mark.parametrize("policy", [NOTHING, SAMPLES, ClassPolicy(["perdure_side_effects.other"])])
def test_what_is_not_allowed_is_never_imported(
    side_effects: Path, module: str, policy: ClassPolicy
) -> None:
    for making in (b")\x81", b")R", b")\x81}X\x01\x00\x00\x00aK\x01sb", b""):
        data = b"\x80\x03c" + module.encode() + b"\nThing\n" + making + b"."
        made = loaded(data, policy)
        assert isinstance(made, Broken) or issubclass(made, Broken)
    assert not side_effects.exists()
    assert not [name for name in sys.modules if name.startswith("perdure_side_effects")]


def test_objects_of_what_is_not_allowed_are_broken_and_survive(side_effects: Path) -> None:
    jar = Jar()
    record = (
        b"\x80\x03cperdure_side_effects\nThing\nq\x00."
        b"\x80\x03}q\x01X\x04\x00\x00\x00nextq\x02C\x08\0\0\0\0\0\0\0\x02q\x03h\x00\x86q\x04Qs."
    )
    jar.records[b"\0" * 7 + b"\1"] = record
    guarded = Jar(records=jar.records, find=SAMPLES.find_class)
    broken = guarded.get(b"\0" * 7 + b"\1")
    assert isinstance(broken, Broken)
    assert isinstance(broken.__Broken_state__["next"], Broken)
    guarded.store(broken)
    assert references_of(guarded) == references_of(jar)
    assert not side_effects.exists()


def references_of(jar: Jar) -> list[bytes]:
    return references(jar.records[b"\0" * 7 + b"\1"])


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("perdure_side_effects", ["perdure_side_effects"]),
        ("perdure_side_effects.*", ["perdure_side_effects", "perdure_side_effects.inner"]),
        ("perdure_side_effects.inner", ["perdure_side_effects.inner"]),
        ("*", ["perdure_side_effects", "perdure_side_effects.inner"]),
        ("perdure_side*", ["perdure_side_effects", "perdure_side_effects.inner"]),
        ("perdure_side", []),
        ("side_effects.*", []),
    ],
)
def test_patterns_name_modules(side_effects: Path, pattern: str, allowed: list[str]) -> None:
    policy = ClassPolicy([pattern])
    for module in ("perdure_side_effects", "perdure_side_effects.inner"):
        found = policy.find_class(module, "Thing")
        assert issubclass(found, Broken) == (module not in allowed)


def test_without_patterns_everything_is_found() -> None:
    policy = ClassPolicy()
    assert policy.find_class("os", "system") is os.system
    assert policy.find_class("copy_reg", "_reconstructor").__module__ == "copyreg"


def test_what_an_allowed_module_has_from_elsewhere_is_not_allowed(side_effects: Path) -> None:
    policy = ClassPolicy(["perdure_side_effects"])
    assert issubclass(policy.find_class("perdure_side_effects", "system"), Broken)
    assert issubclass(policy.find_class("perdure_side_effects", "__builtins__"), Broken)
    assert issubclass(policy.find_class("samples.records_objects", "Persistent"), Broken)


@pytest.mark.parametrize(
    "name",
    [
        "builtins eval",
        "builtins exec",
        "builtins __import__",
        "builtins open",
        "builtins setattr",
        "builtins compile",
        "builtins globals",
        "builtins breakpoint",
        "builtins input",
        "os system",
        "posix system",
        "subprocess Popen",
        "operator attrgetter",
        "operator call",
        "importlib import_module",
        "pickle loads",
        "copyreg add_extension",
        "sys modules",
        "types FunctionType",
        "types CodeType",
        "functools reduce",
        "perdure.records.broken _make",
        "perdure.records.classes ClassPolicy",
        "BTrees.check check",
        "BTrees.tests.common Base",
        "datetime sys",
        "collections _sys",
        "builtins getattr.__call__",
        "zoneinfo ZoneInfo.from_file",
    ],
)
def test_what_could_do_harm_never_passes(name: str) -> None:
    module, attribute = name.split()
    for policy in (NOTHING, SAMPLES):
        found = policy.find_class(module, attribute)
        assert isinstance(found, type)
        assert issubclass(found, Broken)


def test_getattr_reaches_nothing_but_inner_classes() -> None:
    for owner, name in (
        ("samples.records_objects\nNode", "__subclasses__"),
        ("samples.records_objects\nNode", "__dict__"),
        ("samples.records_objects\nNode", "__class__"),
        ("samples.records_objects\nNode", "_p_jar"),
        ("builtins\nobject", "__reduce__"),
        ("builtins\nstr", "format"),
        ("zoneinfo\nZoneInfo", "from_file"),
        ("os\nsystem", "__call__"),
    ):
        data = (
            b"\x80\x03cbuiltins\ngetattr\nc"
            + owner.encode()
            + b"\nX"
            + len(name).to_bytes(4, "little")
            + name.encode()
            + b"\x86R."
        )
        found = loaded(data, SAMPLES)
        assert isinstance(found, Broken) or issubclass(found, Broken)


def test_getattr_on_an_object_is_broken_and_not_done() -> None:
    bound = through("text".upper, SAMPLES)
    assert isinstance(bound, Broken)
    assert bound.__Broken_newargs__ == ("text", "upper")


def test_inner_classes_of_allowed_ones_pass_and_others_are_broken_under_their_name() -> None:
    assert through(Shelf.Label, SAMPLES) is Shelf.Label
    label = through(Shelf.Label("top"), SAMPLES)
    assert label.text == "top"
    broken = through(Shelf.Label("top"), NOTHING)
    assert isinstance(broken, Broken)
    assert type(broken).__qualname__ == "Shelf.Label"
    assert broken.__Broken_state__ == {"text": "top"}


def test_type_makes_no_classes() -> None:
    data = b"\x80\x03cbuiltins\ntype\n(X\x01\x00\x00\x00A)}tR."
    assert isinstance(loaded(data, SAMPLES), Broken)
    assert isinstance(through(functools.partial(type, 1), SAMPLES)(), Broken)
    for constant in (None, ..., NotImplemented):
        assert through(type(constant), NOTHING) is type(constant)


def test_encode_makes_bytes_of_latin_1_only() -> None:
    assert through(b"\xe4\x00", NOTHING, protocol=2) == b"\xe4\x00"
    data = b"\x80\x03c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R."
    assert isinstance(loaded(data, NOTHING), Broken)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset("a"),
        bytearray(b"x"),
        1 + 2j,
        slice(1, 2),
        range(3),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
        datetime.timedelta(1, 2, 3),
        decimal.Decimal("1.10"),
        uuid.UUID(int=5),
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
        collections.deque([1], 3),
        Path("a/b"),
        dict,
    ],
    ids=repr,
)
def test_plain_values_always_pass(value: Any) -> None:
    for protocol in (2, 3):
        read = through(value, NOTHING, protocol)
        assert type(read) is type(value)
        assert read == value


def test_exceptions_always_pass() -> None:
    assert through(KeyError("x"), NOTHING).args == ("x",)


def test_what_an_object_database_is_made_of_always_passes() -> None:
    jar = Jar()
    tree = OOBTree({n: n for n in range(100)})
    mapping = PersistentMapping(tree=tree, weak=WeakRef(tree), size=Length(3))
    jar.store(mapping)
    guarded = Jar(records=jar.records, find=NOTHING.find_class)
    read = guarded.get(mapping._p_oid)
    assert dict(read["tree"]) == dict(tree)
    assert read["weak"]() is read["tree"]
    assert read["size"]() == 3


def test_everything_called_harmless_is_there() -> None:
    elsewhere = {("perdure.objects.blob", "Blob")}
    for module, name in HARMLESS - elsewhere:
        assert not issubclass(type(find_global(module, name)), type(Broken)), (module, name)


def test_rebuilding_broken_objects_asks_the_policy(side_effects: Path) -> None:
    call = b"(X\x14\x00\x00\x00perdure_side_effectsX\x05\x00\x00\x00ThingtR."
    for function in (b"rebuild", b"find_global"):
        made = loaded(b"\x80\x03cZODB.broken\n" + function + b"\n" + call, SAMPLES)
        assert isinstance(made, Broken) or issubclass(made, Broken)
    assert not side_effects.exists()
    call = b"(X\x17\x00\x00\x00samples.records_objectsX\x04\x00\x00\x00NodetR."
    assert isinstance(loaded(b"\x80\x03cZODB.broken\nrebuild\n" + call, SAMPLES), Node)


def test_values_that_are_broken_by_policy_are_real_again_without_it() -> None:
    jar = Jar()
    values = [Point(1, 2), Shelf.Label("top"), "text".upper, Shelf.Label, type]
    node = Node(values=values, picky=TakesArguments("k"))
    jar.store(node)
    guarded = Jar(records=jar.records, find=NOTHING.find_class)
    guarded.store(guarded.get(node._p_oid))
    read = jar.reopened().get(node._p_oid)
    assert type(read) is Node
    assert read.picky.key == "k"
    assert read.values[0] == Point(1, 2)
    assert read.values[1].text == "top"
    assert read.values[2]() == "TEXT"
    assert read.values[3] is Shelf.Label
    assert read.values[4] is type


def test_a_policy_can_stand_over_another_way_to_find_classes() -> None:
    asked = []

    def find(module: str, name: str) -> Any:
        asked.append((module, name))
        return Node

    policy = ClassPolicy(["samples.*", "__zodb__"], find)
    assert policy.find_class("__zodb__", "C") is Node
    assert issubclass(policy.find_class("other", "C"), Broken)
    assert asked == [("__zodb__", "C")]


def test_a_policy_is_steady_unless_somebody_else_finds_its_classes() -> None:
    steady = (find_global, ClassPolicy().find_class, SAMPLES.find_class)
    assert all(map(is_steady, steady))
    found_otherwise = ClassPolicy(find=lambda module, name: Node).find_class
    assert not is_steady(found_otherwise)
    assert not is_steady(lambda module, name: Node)
