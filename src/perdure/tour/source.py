"""The standard library's source, read into modules, classes and functions.

The source is parsed, never imported or run. Tests and installed packages are
left out. What does not parse or decode is told, and is no reason to stop.
"""

import ast
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from perdure.tour.model import Class, Function, Module

__all__ = ["SourceFile", "Unreadable", "read_module", "source_files", "standard_library"]

_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}

_Block = Iterable[ast.stmt]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Where a module's source is, and the name it is imported by."""

    path: Path
    module_name: str
    is_package: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A source file that could not be read, and why."""

    path: Path
    reason: str


def standard_library() -> Path:
    """Return the directory that holds the running Python's own modules."""
    return Path(sysconfig.get_paths()["stdlib"])


def source_files(directory: Path) -> list[SourceFile]:
    """Return the modules under `directory`, by name; no tests, no installed packages."""
    found = []
    for path in directory.rglob("*.py"):
        parts = path.relative_to(directory).with_suffix("").parts
        # A script such as python-config.py cannot be imported, so it is no module.
        if _LEFT_OUT.isdisjoint(parts[:-1]) and all(part.isidentifier() for part in parts):
            is_package = len(parts) > 1 and parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found.append(SourceFile(path, name, is_package))
    return sorted(found, key=lambda source: source.module_name)


def read_module(source: SourceFile) -> Module | Unreadable:
    """Return the module that a source file defines, not yet stored anywhere."""
    try:
        text = source.path.read_bytes()
        with warnings.catch_warnings():
            # Old escapes in string literals are the library's business.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Unreadable(source.path, f"{type(error).__name__}: {error}")
    return Module(
        name=source.module_name,
        path=str(source.path),
        line_count=text.count(b"\n"),
        docstring=ast.get_docstring(tree),
        imports=tuple(sorted(_imports(tree, source))),
        classes=tuple(_classes(tree.body, source.module_name)),
        functions=tuple(_functions(tree.body, source.module_name)),
    )


def _imports(tree: ast.Module, source: SourceFile) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(_imported_from(node, source))
    return names - {""}


def _imported_from(node: ast.ImportFrom, source: SourceFile) -> str:
    if not node.level:
        return node.module or ""
    package = source.module_name.split(".")
    climb = node.level - source.is_package
    anchor = package[: len(package) - climb] if climb else package
    return ".".join([*anchor, node.module] if node.module else anchor)


def _statements(block: _Block) -> Iterator[ast.stmt]:
    """Yield statements, and those that stand under `if`, `try`, `with` and loops."""
    for statement in block:
        yield statement
        if not isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.stmt):
                    yield from _statements([child])
                elif isinstance(child, ast.ExceptHandler):
                    yield from _statements(child.body)


def _classes(block: _Block, prefix: str) -> Iterator[Class]:
    for node in _statements(block):
        if isinstance(node, ast.ClassDef):
            name = f"{prefix}.{node.name}"
            yield Class(
                name=name,
                line=node.lineno,
                line_count=_line_count(node),
                bases=tuple(ast.unparse(base) for base in node.bases),
                docstring=ast.get_docstring(node),
                classes=tuple(_classes(node.body, name)),
                functions=tuple(_functions(node.body, name)),
            )


def _functions(block: _Block, prefix: str) -> Iterator[Function]:
    for node in _statements(block):
        if isinstance(node, _FUNCTIONS):
            arguments = node.args
            parameters = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            yield Function(
                name=f"{prefix}.{node.name}",
                line=node.lineno,
                line_count=_line_count(node),
                parameters=tuple(parameter.arg for parameter in parameters),
                docstring=ast.get_docstring(node),
            )


def _line_count(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
