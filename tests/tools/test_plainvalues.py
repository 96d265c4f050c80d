from typing import Any

import pytest

from perdure.ids import p64
from perdure.tools.plainvalues import (
    comparable,
    from_literal,
    pairs_of,
    places_of,
    referred,
    sequence_of,
    typed_name,
)


def test_a_literal_is_what_it_means() -> None:
    assert from_literal("(1, b'a')") == {"$tuple": [1, {"$bytes": "YQ=="}]}
    for text in ("open('x')", "plain", "(", ""):
        with pytest.raises(ValueError, match="not a Python literal"):
            from_literal(text)
    with pytest.raises(ValueError, match="no key"):
        from_literal("[1]")


@pytest.mark.parametrize("key", [1, 1.5, None, True, "a", {"$bytes": "YQ=="}, {"$tuple": [1, "a"]}])
def test_a_key_that_can_be_typed_is_its_literal(key: Any) -> None:
    name = typed_name(key)
    assert name == key or from_literal(name) == key
    assert name == key or comparable(key) == comparable(from_literal(name))


def test_a_key_that_cannot_be_typed_is_json() -> None:
    assert typed_name({"$date": "2026-01-01"}) == '{"$date": "2026-01-01"}'
    with pytest.raises(TypeError, match="cannot be compared"):
        comparable({"$date": "2026-01-01"})


def test_dictionaries_and_sequences_are_told_from_objects() -> None:
    assert list(pairs_of({"a": 1}) or ()) == [("a", 1)]
    assert list(pairs_of({"$dict": [[1, 2]]}) or ()) == [(1, 2)]
    assert pairs_of({"$object": "m.C"}) is None
    assert sequence_of({"$tuple": [1]}) == sequence_of([1]) == [1]
    assert sequence_of({"a": [1]}) is None


def test_references_are_found_wherever_they_stand() -> None:
    one, far, weak = (
        {"$ref": "0x1"},
        {"$ref": "0x2", "database": "x"},
        {"$ref": "0x3", "weak": True},
    )
    value = {
        "a": [one, {"$dict": [[one, {"$object": "m.C", "state": {"b c": one}}]]}],
        "far": far,
        "weak": weak,
    }
    assert list(referred(value)) == [p64(1)] * 3
    assert list(places_of(p64(1), value)) == [
        ".a[0]",
        ".a[1].keys()",
        ".a[1][{'$ref': '0x1'}]['b c']",
    ]
    assert list(places_of(p64(2), value)) == []
    assert list(places_of(p64(3), value)) == [".weak"]
