"""Addresses written out: the text of what was parsed, and the same from any directory."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from perdure.opening.address import Address, Form
from perdure.opening.options import PATH, option_text

__all__ = ["absolute_address", "address_text"]


def address_text(address: Address) -> str:
    """Return text that is parsed to `address` again.

    A path that would end early there, or close the parentheses around it, goes
    into the query, percent-encoded.
    """
    options = {**address.options, **address.database}
    body = address.text
    if address.layers:
        body += "/" if body else ""
        body += "/".join(f"({address_text(layer)})" for layer in address.layers)
    elif not _stands_for_itself(body):
        options = {"path": body, **options}
        body = ""
    texts = [(name, option_text(options[name])) for name in options]
    query = urlencode(texts, quote_via=quote, safe="/")  # so that paths can be read
    return f"{address.scheme}:{body}" + (f"?{query}" if query else "")


def absolute_address(address: Address, forms: Mapping[str, Form]) -> Address:
    """Return `address` with absolute paths, so that it means the same in any directory."""
    form = forms[address.scheme]
    options: dict[str, Any] = {
        name: _absolute(value) if form.options.get(name) is PATH else value
        for name, value in address.options.items()
    }
    text = _absolute(address.text) if form.text_kind is PATH and address.text else address.text
    layers = tuple(absolute_address(layer, forms) for layer in address.layers)
    return replace(address, text=text, layers=layers, options=options)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _stands_for_itself(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0 or character == "?":
            return False
    return depth == 0 and not text.startswith("//")
