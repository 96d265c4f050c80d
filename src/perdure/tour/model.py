"""What the tour stores: a library of modules, with their classes and functions.

    Library ── modules ──────► Module ──► Class ──► Function
       │                          └─────────────────► Function
       ├── definitions: (a name, where it is defined) ► the class or function
       └── importers:   a module's name ► the names of modules that import it

These are plain classes: what makes them persistent is their base. Collections
that never change are tuples; those that grow are BTrees, which load and store
piece by piece.
"""

from collections.abc import Iterator

from BTrees.Length import Length
from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent import Persistent

__all__ = ["Class", "Function", "Library", "Module"]


class Function(Persistent):
    """A function or a method; `name` is dotted, from its module on."""

    def __init__(
        self,
        name: str,
        line: int,
        line_count: int,
        parameters: tuple[str, ...],
        docstring: str | None,
    ) -> None:
        self.name = name
        self.line = line
        self.line_count = line_count
        self.parameters = parameters
        self.docstring = docstring


class Class(Persistent):
    """A class; `bases` are as its source spells them."""

    def __init__(
        self,
        name: str,
        line: int,
        line_count: int,
        bases: tuple[str, ...],
        docstring: str | None,
        classes: tuple["Class", ...],
        functions: tuple[Function, ...],
    ) -> None:
        self.name = name
        self.line = line
        self.line_count = line_count
        self.bases = bases
        self.docstring = docstring
        self.classes = classes
        self.functions = functions


class Module(Persistent):
    """A module; `imports` are the dotted names of the modules that it imports."""

    def __init__(
        self,
        name: str,
        path: str,
        line_count: int,
        docstring: str | None,
        imports: tuple[str, ...],
        classes: tuple[Class, ...],
        functions: tuple[Function, ...],
    ) -> None:
        self.name = name
        self.path = path
        self.line_count = line_count
        self.docstring = docstring
        self.imports = imports
        self.classes = classes
        self.functions = functions

    def definitions(self) -> Iterator[Class | Function]:
        """Yield every class and function in the module, nested ones after what holds them."""
        yield from self.functions
        waiting = list(self.classes)
        while waiting:
            cls = waiting.pop(0)
            yield cls
            yield from cls.functions
            waiting.extend(cls.classes)


class Library(Persistent):
    """The modules of one Python, and the indexes over them."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.modules = OOBTree()
        self.definitions = OOBTree()
        self.importers = OOBTree()
        self.definition_count = Length()
        self.complete = False
        self.visits = Length()
        self.note = "untouched"

    def add(self, module: Module) -> None:
        """Put in a module, or a newer reading of one that is there, and index it."""
        self.modules[module.name] = module
        for definition in module.definitions():
            key = definition.name.rpartition(".")[2], definition.name
            self.definition_count.change(key not in self.definitions)
            self.definitions[key] = definition
        for name in module.imports:
            if name not in self.importers:
                self.importers[name] = OOTreeSet()
            self.importers[name].add(module.name)

    def classes(self) -> Iterator[Class]:
        """Yield every class of every module, by walking."""
        for module in self.modules.values():
            for definition in module.definitions():
                if isinstance(definition, Class):
                    yield definition
