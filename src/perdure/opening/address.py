"""Addresses as values: which storages a database stands on, and how they are set.

    address := scheme ":" body [ "?" options ]     or a plain path: a file
    body    := text                                file:app.fs   memory:
             | [ text "/" ] layer *( "/" layer )   demo:(…)/(…)  before:TIME/(…)
    layer   := "(" address ")"
    options := name "=" value *( "&" name "=" value )

A path is taken as it stands: spaces and percent signs mean themselves, and only
``?`` ends it. Options are percent-decoded, so a path that has a ``?`` is written
``file:?path=odd%3F.fs``. Two slashes after the scheme may be left out, and
options of the database may follow a ``#``; zodburi writes both.

Parsing is pure: which schemes there are, and what they take, is handed in as
`Form`s; `registry` knows them and `database` opens what was parsed.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from perdure.errors import AddressError
from perdure.opening.options import DATABASE_OPTIONS, TEXT, Kind

__all__ = ["Address", "Form", "parse_address", "read_only_address"]


@dataclass(frozen=True, slots=True)
class Form:
    """How the addresses of one scheme are written.

    `text` is what the text in front of the layers is called in errors ("path",
    "time"), or "" where there must be none; `text_kind` is what it must be.
    What stands behind a ``#`` is its option `fragment`, if that is not "", and else
    options of the database. A scheme stands on at least `min_layers` and at most `max_layers` other
    addresses; the first `layers_only_read` of them are never written, and those behind the
    first `layers_opened` are opened by the scheme itself, if at all.
    """

    scheme: str
    example: str
    text: str = ""
    text_needed: bool = False
    text_kind: Kind = TEXT
    min_layers: int = 0
    max_layers: int = 0
    layers_only_read: int = 0
    layers_opened: int | None = None
    fragment: str = ""
    options: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Address:
    """One storage, what it stands on, and the options of both storage and database.

    `text` is the path, time or name; `options` are the storage's. `database`
    holds the options of the database and is empty but in the outermost address.
    """

    scheme: str
    text: str
    layers: tuple["Address", ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    database: Mapping[str, Any] = field(default_factory=dict)


def parse_address(address: str, forms: Mapping[str, Form]) -> Address:
    """Return what `address` says, for the schemes in `forms`.

    Raises `AddressError` naming the part that is wrong, why, and the nearest
    address that would be right, where there is one.
    """
    return _parse(_Piece(address), forms)


def read_only_address(address: Address, forms: Mapping[str, Form]) -> Address:
    """Return `address` with the option ``read_only`` wherever a storage has it."""
    layers = tuple(read_only_address(layer, forms) for layer in address.layers)
    options = dict(address.options)
    if "read_only" in forms[address.scheme].options:
        options["read_only"] = True
    return replace(address, layers=layers, options=options)


@dataclass(frozen=True, slots=True)
class _Piece:
    """An address, and the text around it in the address that it is a layer of."""

    text: str
    before: str = ""
    after: str = ""

    @property
    def is_outermost(self) -> bool:
        return not self.before

    def layer(self, start: int, end: int) -> "_Piece":
        return _Piece(
            self.text[start:end],
            self.before + self.text[:start],
            self.text[end:] + self.after,
        )

    def error(self, part: str, reason: str, instead: str = "") -> AddressError:
        """Return the error for `part`; `instead` of the whole piece would be right."""
        nearest = self.before + instead + self.after if instead else ""
        return AddressError(self.before + self.text + self.after, part, reason, nearest)


# Two letters at least, so that the letter of a drive is no scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_LAYERS_BEGIN = re.compile(r"(?:^|(?<=/))\(")


def _parse(piece: _Piece, forms: Mapping[str, Form]) -> Address:
    match = _SCHEME.match(piece.text)
    if match is None:
        return _parse_path(piece)
    scheme = match[1]
    form = forms.get(scheme)
    if form is None:
        close = difflib.get_close_matches(scheme.lower(), forms, n=1)
        instead = close[0] + piece.text[len(scheme) :] if close else ""
        known = ", ".join(sorted(forms))
        raise piece.error(scheme, f"is not a scheme (there are {known})", instead)
    start = match.end()
    if piece.text.startswith("//", start):
        start += 2
    if form.max_layers:
        return _parse_layered(piece, start, form, forms)
    body, fragment = piece.text[start:], ""
    if form.fragment:
        body, _, fragment = body.partition("#")
    text, _, query = body.partition("?")
    options, database = _parse_options(piece, query, form)
    if fragment and form.fragment in options:
        raise piece.error(f"#{fragment}", f"is given a second time, after {form.fragment}")
    if fragment:
        options[form.fragment] = fragment
    if form.text == "path" and not text:
        text = options.pop("path", "")
    _check_text(piece, text, form)
    return Address(scheme, text, (), options, database)


def _parse_path(piece: _Piece) -> Address:
    path, mark, query = piece.text.partition("?")
    if not path.strip():
        raise piece.error(piece.text, "names no database", "file:app.fs")
    if mark:
        raise piece.error(
            mark + query, "follows a plain path, which takes no options", f"file:{piece.text}"
        )
    return Address("file", path)


def _parse_layered(piece: _Piece, start: int, form: Form, forms: Mapping[str, Form]) -> Address:
    begin = _LAYERS_BEGIN.search(piece.text[start:])
    if begin is None:
        instead = _with_parentheses(piece.text[start:], form)
        raise piece.error(piece.text[start:], "lacks a layer in parentheses", instead)
    position = start + begin.start()
    text = piece.text[start:position].removesuffix("/")
    _check_text(piece, text, form)
    layers = []
    while True:
        end = _closing_parenthesis(piece, position)
        layers.append(_parse(piece.layer(position + 1, end), forms))
        position = end + 1
        if not piece.text.startswith("/(", position):
            break
        position += 1
    if not form.min_layers <= len(layers) <= form.max_layers:
        raise piece.error(piece.text, _wrong_number(len(layers), form), form.example)
    tail = piece.text[position:]
    if tail and tail[0] not in "?#":
        raise piece.error(tail, "follows the last layer", piece.text[:position])
    options, database = _parse_options(piece, tail[1:], form)
    return Address(form.scheme, text, tuple(layers), options, database)


def _wrong_number(found: int, form: Form) -> str:
    least, most = form.min_layers, form.max_layers
    expected = f"{least}" if least == most else f"{least} to {most}"
    return f"has {found} {'layer' if found == 1 else 'layers'}, expected {expected}"


def _with_parentheses(body: str, form: Form) -> str:
    """Return what a layered address without parentheses was perhaps meant to be."""
    text, slash, layer = body.partition("/") if form.text else ("", "", body)
    if not layer.strip("/") or form.min_layers > 1:
        return form.example
    return f"{form.scheme}:{text}{slash}({layer})"


def _closing_parenthesis(piece: _Piece, opening: int) -> int:
    depth = 0
    for position in range(opening, len(piece.text)):
        depth += {"(": 1, ")": -1}.get(piece.text[position], 0)
        if depth == 0:
            return position
    raise piece.error(piece.text[opening:], "has no closing parenthesis", piece.text + ")" * depth)


def _check_text(piece: _Piece, text: str, form: Form) -> None:
    if text and not form.text:
        raise piece.error(text, f"does not belong into a {form.scheme} address", form.example)
    if form.text_needed and not text:
        raise piece.error(piece.text, f"has no {form.text}", form.example)
    if not text:
        return
    try:
        form.text_kind.read(text)
    except ValueError:
        instead = piece.text.replace(text, form.text_kind.example, 1)
        raise piece.error(text, f"should be {form.text_kind.expected}", instead) from None


def _parse_options(piece: _Piece, query: str, form: Form) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the storage and those of the database."""
    storage: dict[str, Any] = {}
    database: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in form.options:
            target, key, kind = storage, name, form.options[name]
        else:
            key = name.removeprefix("connection_")
            if key not in DATABASE_OPTIONS:
                raise _unknown_option(piece, name, form)
            if not piece.is_outermost:
                reason = "is an option of the database: it belongs to the end of the address"
                raise piece.error(f"{name}={value}", reason)
            target, kind = database, DATABASE_OPTIONS[key]
        if key in target:
            raise piece.error(f"{name}={value}", "is given a second time")
        try:
            target[key] = kind.read(value)
        except ValueError:
            instead = _corrected(piece.text, f"{name}={value}", f"{name}={kind.example}")
            raise piece.error(f"{name}={value}", f"should be {kind.expected}", instead) from None
    return storage, database


def _unknown_option(piece: _Piece, name: str, form: Form) -> AddressError:
    known: Iterable[str] = [*form.options, *(DATABASE_OPTIONS if piece.is_outermost else ())]
    close = difflib.get_close_matches(name, known, n=3)
    near = f"near are {', '.join(close)}" if close else f"there are {', '.join(sorted(known))}"
    instead = _corrected(piece.text, f"{name}=", f"{close[0]}=") if close else ""
    reason = f"is no option of {form.scheme} or of the database"
    return piece.error(name, f"{reason} ({near})" if known else reason, instead)


def _corrected(text: str, wrong: str, right: str) -> str:
    """Return `text` with `wrong` put right; "" where it was written in some other way."""
    # The last one: a layer further left may have an option of the same name.
    head, found, tail = text.rpartition(wrong)
    return head + right + tail if found else ""
