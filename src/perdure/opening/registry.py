"""Which schemes there are: the built-in ones, registered ones, and other packages'.

A package brings a scheme by an entry point in the group ``perdure.schemes``: its
name is the scheme's, and it leads to a `Scheme`. It is loaded when an address
asks for it, and so is the module of a built-in one, with the storages that it opens.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from perdure.interfaces import Storage
from perdure.opening.address import Address, Form

__all__ = ["ENTRY_POINT_GROUP", "Scheme", "forms", "register", "scheme_named"]

ENTRY_POINT_GROUP = "perdure.schemes"


@dataclass(frozen=True, slots=True)
class Scheme:
    """How addresses of a scheme are written, and how to open what they name.

    `open` gets the address and the storages of its layers, opened, in order. It
    owns them once it returns; if it raises, they are closed for it. For a layer behind
    `form.layers_opened` it gets a function that opens it instead. `database_options`
    returns what the database gets that an address of this scheme leads to, unless
    the address says otherwise; by default nothing.
    """

    form: Form
    open: Callable[[Address, tuple[Any, ...]], Storage]
    database_options: Callable[[Address], Mapping[str, Any]] = lambda address: {}


_MODULES: Final = {
    "before": "perdure.opening.layerschemes",
    "demo": "perdure.opening.layerschemes",
    "encrypt": "perdure.opening.layerschemes",
    "file": "perdure.opening.schemes",
    "memory": "perdure.opening.schemes",
    "replicate": "perdure.opening.layerschemes",
    "zconfig": "perdure.opening.configuration",
    "zlib": "perdure.opening.layerschemes",
    "zstd": "perdure.opening.layerschemes",
}
"""Where the built-in schemes are, in the `SCHEMES` of a module."""

_schemes: dict[str, Scheme] = {}


def register(scheme: Scheme) -> None:
    """Make addresses of `scheme` known; `ValueError` if its name is taken."""
    name = scheme.form.scheme
    if name in _schemes or name in _MODULES:
        raise ValueError(f"there is a scheme {name!r} already")
    _schemes[name] = scheme


def scheme_named(name: str) -> Scheme:
    """Return the scheme `name`; `KeyError` if there is none."""
    if name in _MODULES and name not in _schemes:
        schemes: tuple[Scheme, ...] = import_module(_MODULES[name]).SCHEMES
        _schemes.update((scheme.form.scheme, scheme) for scheme in schemes)
    if name not in _schemes:
        for entry_point in _entry_points():
            if entry_point.name != name:
                continue
            scheme = entry_point.load()
            if not isinstance(scheme, Scheme) or scheme.form.scheme != name:
                raise TypeError(
                    f"entry point {entry_point.value!r} should lead to a Scheme for {name!r}, "
                    f"not to {scheme!r}"
                )
            register(scheme)
    return _schemes[name]


def _entry_points() -> Iterable[Any]:
    from importlib.metadata import entry_points  # 40 ms that few programs need

    return entry_points(group=ENTRY_POINT_GROUP)


class _Forms(Mapping[str, Form]):
    """The form of each scheme, loaded on demand."""

    def __getitem__(self, name: str) -> Form:
        return scheme_named(name).form

    def __iter__(self) -> Iterator[str]:
        installed = {entry_point.name for entry_point in _entry_points()}
        return iter(sorted(installed | _schemes.keys() | _MODULES.keys()))

    def __len__(self) -> int:
        return len(list(iter(self)))


forms: Mapping[str, Form] = _Forms()
