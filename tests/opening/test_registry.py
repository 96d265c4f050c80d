import importlib.metadata
import sys
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType

import pytest

import perdure
from perdure.errors import AddressError
from perdure.interfaces import Storage
from perdure.opening import Address, Form, Scheme, open_storage, register, registry
from perdure.storages.memory import MappingStorage


def scheme(name: str) -> Scheme:
    def open_(address: Address, layers: tuple[Storage, ...]) -> Storage:
        return MappingStorage(f"{name} of {address.text}")

    return Scheme(Form(name, f"{name}:x", text="name"), open_)


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_schemes", dict(registry._schemes))


def test_a_registered_scheme_opens() -> None:
    register(scheme("cloud"))
    assert open_storage("cloud:nine").getName() == "cloud of nine"


def test_a_scheme_cannot_be_taken_over() -> None:
    with pytest.raises(ValueError, match="there is a scheme 'file' already"):
        register(scheme("file"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package that is installed with an entry point for the scheme "cloud"."""
    module = ModuleType("cloudstorage")
    monkeypatch.setitem(sys.modules, "cloudstorage", module)
    entry_points = EntryPoints(
        [EntryPoint("cloud", "cloudstorage:SCHEME", registry.ENTRY_POINT_GROUP)]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points.select)
    return module


def test_another_package_brings_a_scheme_by_its_entry_point(installed: ModuleType) -> None:
    installed.SCHEME = scheme("cloud")
    with perdure.open("cloud:nine") as db:
        assert db.getName() == "cloud of nine"


def test_a_scheme_of_another_package_is_suggested_without_being_loaded(
    installed: ModuleType,
) -> None:
    with pytest.raises(AddressError, match="did you mean 'cloud:nine'"):
        perdure.open("clod:nine")


def test_an_entry_point_that_leads_elsewhere_is_named(installed: ModuleType) -> None:
    installed.SCHEME = "not a scheme"
    with pytest.raises(TypeError, match="entry point 'cloudstorage:SCHEME' should lead to"):
        perdure.open("cloud:nine")
