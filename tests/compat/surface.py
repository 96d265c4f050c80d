"""Compares the modules named `ZODB` with a list of ZODB's public API; run by `test_surface`.

    python -m perdure.compat surface.py zodb-6.4-api.json

prints, as JSON, a mapping from each dotted name that differs to what is different about it.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
from importlib import import_module
from importlib.metadata import distribution
from typing import Any

from zope.interface import implementedBy

from perdure.opening.options import DATABASE_OPTIONS
from perdure.opening.registry import forms

Parameters = list[tuple[str, str, str]]  # kind, name, default


def dotted(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__name__}"


def theirs(signature: str) -> Parameters:
    """Return the parameters in a signature as the list has it."""
    text = re.sub(r"^(staticmethod|classmethod) ", "", signature)
    # Defaults that are functions, classes or mere objects say nothing but that.
    text = re.sub(r"<function .*? at 0x\w+>|<(class|object) .*?>|lambda \w*: \w+", "'?'", text)
    args = ast.parse(f"def f{text}: ...").body[0].args  # type: ignore[attr-defined]
    found = []
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + args.defaults
    for arg, default in zip(plain, defaults, strict=True):
        found.append(("plain", arg.arg, "" if default is None else ast.unparse(default)))
    if args.vararg:
        found.append(("*", args.vararg.arg, ""))
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        found.append(("keyword", arg.arg, "" if default is None else ast.unparse(default)))
    if args.kwarg:
        found.append(("**", args.kwarg.arg, ""))
    return [(kind, name, _plain(default)) for kind, name, default in found]


def _plain(default: str) -> str:
    try:
        return repr(ast.literal_eval(default)) if default else ""
    except (ValueError, SyntaxError):
        return "'?'"


def ours(function: Any) -> Parameters:
    """Return the parameters of a function, without their annotations."""
    kinds = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
    }
    found = []
    for parameter in inspect.signature(function).parameters.values():
        default = parameter.default
        shown = "" if default is inspect.Parameter.empty else repr(default)
        found.append((kinds.get(parameter.kind, "plain"), parameter.name, _plain(shown)))
    return found


def shown(parameters: Parameters) -> str:
    stars = {"*": "*", "**": "**"}
    parts = []
    for kind, name, default in parameters:
        parts.append(stars.get(kind, "") + name + (f"={default}" if default else ""))
    return f"({', '.join(parts)})"


class Comparison:
    """Collects differences by dotted name."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def missing(self, name: str) -> None:
        self.found[name] = "is missing"

    def signature(self, name: str, function: Any, expected: str) -> None:
        try:
            here = ours(function)
        except (TypeError, ValueError):
            return  # of the interpreter, which has no other one
        if here != theirs(expected):
            self.found[name] = f"has the signature {shown(here)}, not {expected}"

    def module(self, name: str, listed: dict[str, Any]) -> None:
        if "error" in listed:
            return  # broken in ZODB
        try:
            module = import_module(name)
        except ImportError:
            self.missing(name)
            return
        for alias in listed.get("also_importable_here", ()):
            self.alias(module, *alias.split(" = "))
        for constant, value in listed.get("constants", {}).items():
            if not hasattr(module, constant):
                self.missing(f"{name}.{constant}")
            elif not re.search("path|program", constant):
                found = repr(getattr(module, constant))
                if found != value:
                    self.found[f"{name}.{constant}"] = f"is {found}, not {value}"
        for function, signature in listed.get("functions", {}).items():
            if not hasattr(module, function):
                self.missing(f"{name}.{function}")
            else:
                self.signature(f"{name}.{function}", getattr(module, function), signature)
        for other in listed.get("other", ()):
            if not hasattr(module, other.split(":")[0]):
                self.missing(f"{name}.{other.split(':')[0]}")
        for class_name, facts in listed.get("classes", {}).items():
            if not hasattr(module, class_name):
                self.missing(f"{name}.{class_name}")
            else:
                self.cls(f"{name}.{class_name}", getattr(module, class_name), facts)
        for interface, facts in listed.get("interfaces", {}).items():
            if not hasattr(module, interface):
                self.missing(f"{name}.{interface}")
            else:
                self.interface(f"{name}.{interface}", getattr(module, interface), facts)

    def alias(self, module: Any, name: str, origin: str) -> None:
        if not hasattr(module, name):
            self.missing(f"{module.__name__}.{name}")
        elif origin.startswith("ZODB."):
            home, _, original = origin.rpartition(".")
            expected = getattr(import_module(home), original, None)
            if expected is not None and getattr(module, name) is not expected:
                self.found[f"{module.__name__}.{name}"] = f"is not {origin}"

    def cls(self, name: str, cls: Any, facts: dict[str, Any]) -> None:
        if not isinstance(cls, type):
            self.found[name] = "is not a class"
            return
        mro = [dotted(each) for each in cls.__mro__]
        expected = facts.get("mro", facts["bases"])
        expected = [each for each in expected if each != name]
        if [each for each in mro if each in expected] != expected:
            lacking = [each for each in expected if each not in mro]
            self.found[f"{name}.__bases__"] = f"lacks {', '.join(lacking) or 'their order'}"
        for attribute in facts.get("attributes", ()):
            plain = attribute.removesuffix(" (property)")
            if not hasattr(cls, plain) and plain not in assigned(cls):
                self.missing(f"{name}.{plain}")
        for attribute in facts.get("instance_attributes", ()):
            if not hasattr(cls, attribute) and attribute not in assigned(cls):
                self.missing(f"{name}.{attribute}")
        for method, signature in facts.get("methods", {}).items():
            if not hasattr(cls, method):
                self.missing(f"{name}.{method}")
            elif signature.startswith("classmethod "):
                function = getattr(cls, method)
                function = getattr(function, "__func__", function)
                self.signature(f"{name}.{method}", function, signature)
            else:
                self.signature(f"{name}.{method}", getattr(cls, method), signature)
        declared = {dotted(each) for each in implementedBy(cls).flattened()}
        for interface in facts.get("implements", ()):
            if interface not in declared:
                self.found[f"{name}.implements"] = f"does not declare {interface}"

    def interface(self, name: str, interface: Any, facts: dict[str, Any]) -> None:
        bases = [dotted(each) for each in interface.__iro__]
        for base in facts["bases"]:
            if base not in bases:
                self.found[f"{name}.__bases__"] = f"lacks {base}"
        for attribute in facts["attributes"]:
            if attribute not in interface.names(all=True):
                self.missing(f"{name}.{attribute}")
        for method, signature in facts["methods"].items():
            if method not in interface.names(all=True):
                self.missing(f"{name}.{method}")
                continue
            described = interface[method]
            here = [
                ("plain", each, _plain(repr(described.optional[each])))
                if each in described.optional
                else ("plain", each, "")
                for each in described.positional
            ]
            if described.varargs:
                here.append(("*", described.varargs, ""))
            if here != theirs(signature):
                text = f"has the signature {shown(here)}, not {signature}"
                self.found[f"{name}.{method}"] = text


def assigned(cls: type) -> set[str]:
    """Return the names that a class annotates, or its methods assign to `self`."""
    found: set[str] = set()
    for each in cls.__mro__:
        found.update(vars(each).get("__annotations__", ()))
        for function in vars(each).values():
            try:  # function by function: some classes go by the name of another module
                tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
            except (OSError, TypeError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found.add(node.attr)
    return found


def addresses(
    comparison: Comparison, scheme: str, facts: dict[str, Any], parameters: list[str]
) -> None:
    """Look for a scheme of `zodburi`, and its options, among those of `perdure.open`."""
    if scheme not in forms:
        comparison.missing(f"zodburi {scheme}")
        return
    known = {*forms[scheme].options, *DATABASE_OPTIONS}
    for kind, names in facts.items():
        for name in names if kind.endswith("_args") else ():
            if name not in known:
                comparison.missing(f"zodburi {scheme}?{name}")
    for name in parameters:
        if name not in known:
            comparison.missing(f"zodburi {scheme}?connection_{name}")


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        listed = json.load(file)
    comparison = Comparison()
    for name, facts in listed["modules"].items():
        comparison.module(name, facts)
    for alias, target in listed["module_aliases"].items():
        if import_module(alias) is not import_module(target):
            comparison.found[alias] = f"is not {target}"
    for name, target in listed["scripts"]["console"].items():
        module, _, function = target.partition(":")
        if not callable(getattr(import_module(module), function, None)):
            comparison.missing(target)
        if name not in {script.name for script in distribution("perdure").entry_points}:
            comparison.missing(f"console script {name}")
    for scheme, facts in listed["zodburi"]["schemes"].items():
        addresses(comparison, scheme, facts, listed["zodburi"]["connection_parameters"])
    for name in listed["loggers"]:
        comparison.found[f"logger {name}"] = "is below `perdure`"
    json.dump(comparison.found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
