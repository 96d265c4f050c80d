from pathlib import Path

import pytest

from perdure.tour.model import Module
from perdure.tour.source import (
    SourceFile,
    Unreadable,
    read_module,
    source_files,
    standard_library,
)


def write(directory: Path, name: str, text: str | bytes = "") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(directory: Path, text: str | bytes, name: str = "sample.py") -> Module:
    write(directory, name, text)
    (source,) = source_files(directory)
    module = read_module(source)
    assert isinstance(module, Module)
    return module


def test_modules_are_named_as_they_are_imported(tmp_path: Path) -> None:
    for name in ("alone.py", "pack/__init__.py", "pack/part.py"):
        write(tmp_path, name)
    names = [(source.module_name, source.is_package) for source in source_files(tmp_path)]
    assert names == [("alone", False), ("pack", True), ("pack.part", False)]


def test_tests_installed_packages_and_scripts_are_left_out(tmp_path: Path) -> None:
    for name in (
        "test/support.py",
        "pack/tests/x.py",
        "idlelib/idle_test/x.py",
        "site-packages/x.py",
        "dist-packages/x.py",
        "config-3.11/python-config.py",
        "test.py",
    ):
        write(tmp_path, name)
    assert [source.module_name for source in source_files(tmp_path)] == ["test"]


def test_classes_functions_and_docstrings_are_found(tmp_path: Path) -> None:
    module = read(
        tmp_path,
        '"""About it."""\n'
        "class Outer(Base, other.Base):\n"
        '    """An outer class."""\n'
        "    class Inner:\n"
        "        def deep(self): pass\n"
        "    async def method(self, a, /, b, *, c): pass\n"
        "def function():\n"
        '    """A function."""\n'
        "    def hidden(): pass\n",
    )
    assert (module.name, module.docstring, module.line_count) == ("sample", "About it.", 9)
    (outer,) = module.classes
    assert (outer.name, outer.bases, outer.docstring) == (
        "sample.Outer",
        ("Base", "other.Base"),
        "An outer class.",
    )
    assert (outer.line, outer.line_count) == (2, 5)
    assert [method.parameters for method in outer.functions] == [("self", "a", "b", "c")]
    assert [found.name for found in module.definitions()] == [
        "sample.function",
        "sample.Outer",
        "sample.Outer.method",
        "sample.Outer.Inner",
        "sample.Outer.Inner.deep",
    ]


def test_definitions_under_conditions_are_found(tmp_path: Path) -> None:
    module = read(
        tmp_path,
        "if True:\n"
        "    def one(): pass\n"
        "else:\n"
        "    def two(): pass\n"
        "try:\n"
        "    def three(): pass\n"
        "except ImportError:\n"
        "    def four(): pass\n"
        "finally:\n"
        "    def five(): pass\n",
    )
    names = [function.name for function in module.functions]
    assert names == ["sample.one", "sample.two", "sample.three", "sample.four", "sample.five"]


@pytest.mark.parametrize(
    ("path", "statement", "imported"),
    [
        ("m.py", "import os.path, sys as s", ("os.path", "sys")),
        ("m.py", "def f():\n    from json import dumps", ("json",)),
        ("pack/m.py", "from . import sibling", ("pack",)),
        ("pack/m.py", "from .sibling import x", ("pack.sibling",)),
        ("pack/__init__.py", "from .part import x", ("pack.part",)),
        ("pack/sub/__init__.py", "from ..part import x", ("pack.part",)),
        ("m.py", "from . import x", ()),
    ],
)
def test_imports_are_resolved(
    tmp_path: Path, path: str, statement: str, imported: tuple[str, ...]
) -> None:
    assert read(tmp_path, statement, path).imports == imported


def test_a_source_in_another_encoding_is_read_by_its_cookie(tmp_path: Path) -> None:
    module = read(tmp_path, '# coding: latin-1\n"""caf\xe9"""\n'.encode("latin-1"))
    assert module.docstring == "café"


def test_old_escapes_in_strings_are_no_reason_to_warn(tmp_path: Path) -> None:
    assert read(tmp_path, "pattern = '\\d'\n").line_count == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"def broken(:\n", "SyntaxError"),
        (b"x = '\xff'\n", "SyntaxError"),
        (b"# coding: no-such-encoding\n", "SyntaxError"),
        (b"x = 1\0\n", "Error"),
        (b"x = " + b"(" * 100_000, "Error"),
    ],
)
def test_what_cannot_be_read_is_told_not_raised(tmp_path: Path, text: bytes, reason: str) -> None:
    path = write(tmp_path, "broken.py", text)
    result = read_module(SourceFile(path, "broken", False))
    assert isinstance(result, Unreadable)
    assert (result.path, reason in result.reason) == (path, True)


def test_a_file_that_went_away_is_told_not_raised(tmp_path: Path) -> None:
    result = read_module(SourceFile(tmp_path / "gone.py", "gone", False))
    assert isinstance(result, Unreadable)
    assert "FileNotFoundError" in result.reason


def test_the_standard_library_of_this_python_is_found() -> None:
    names = {source.module_name for source in source_files(standard_library())}
    assert {"json", "json.decoder", "os", "asyncio.base_events"} <= names
    assert not {name for name in names if name.startswith("test.")}
