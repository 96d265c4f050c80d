from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import AddressError
from perdure.opening.address import Address, Form, parse_address, read_only_address
from perdure.opening.options import COUNT, FLAG, SIZE, TEXT, TIME

FILE = Form(
    "file",
    "file:app.fs",
    text="path",
    text_needed=True,
    options={"path": TEXT, "read_only": FLAG, "quota": SIZE},
)
MEMORY = Form("memory", "memory:", text="name")
DEMO = Form(
    "demo",
    "demo:(file:base.fs)/(file:changes.fs)",
    min_layers=1,
    max_layers=2,
    layers_only_read=1,
    options={"depth": COUNT},
)
BEFORE = Form(
    "before",
    "before:2026-11-01T00:00Z/(file:app.fs)",
    text="time",
    text_needed=True,
    text_kind=TIME,
    min_layers=1,
    max_layers=1,
    layers_only_read=1,
)
FORMS = {form.scheme: form for form in (FILE, MEMORY, DEMO, BEFORE)}


def parse(text: str) -> Address:
    return parse_address(text, FORMS)


def file(path: str, **options: object) -> Address:
    return Address("file", path, (), options, {})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("app.fs", "app.fs"),
        ("file:app.fs", "app.fs"),
        ("file://app.fs", "app.fs"),
        ("file:/srv/app.fs", "/srv/app.fs"),
        ("file:///srv/app.fs", "/srv/app.fs"),
        ("file:~/app.fs", "~/app.fs"),
        ("~/app.fs", "~/app.fs"),
        ("file:../data/my app.fs", "../data/my app.fs"),
        ("file:100%.fs", "100%.fs"),
        ("file:a%20b.fs", "a%20b.fs"),
        ("a%20b#1.fs", "a%20b#1.fs"),
        ("file:old (copy).fs", "old (copy).fs"),
        ("file:/srv/(old)", "/srv/(old)"),
        ("./odd:name.fs", "./odd:name.fs"),
        ("c:/data/app.fs", "c:/data/app.fs"),
        ("file:?path=what%3F.fs", "what?.fs"),
        ("file:é.fs", "é.fs"),
    ],
)
def test_a_path_is_taken_as_it_stands(text: str, path: str) -> None:
    assert parse(text) == file(path)


def test_options_of_the_storage_and_of_the_database_are_told_apart() -> None:
    address = parse("file:app.fs?read_only=1&quota=10mb&cache_size=1000&pool_timeout=2.5")
    assert address.options == {"read_only": True, "quota": 10 << 20}
    assert address.database == {"cache_size": 1000, "pool_timeout": 2.5}


def test_zodburi_spells_options_of_the_database_with_connection_in_front() -> None:
    address = parse("file:///app.fs?connection_cache_size=10&database_name=main")
    assert address.database == {"cache_size": 10, "database_name": "main"}


def test_a_memory_address_may_have_a_name() -> None:
    assert parse("memory:") == Address("memory", "", (), {}, {})
    assert parse("memory://scratch") == Address("memory", "scratch", (), {}, {})


def test_layers_stand_in_parentheses() -> None:
    address = parse("demo:(file:base.fs)/(file:changes.fs)?cache_size=7")
    assert address.scheme == "demo"
    assert address.layers == (file("base.fs"), file("changes.fs"))
    assert address.database == {"cache_size": 7}


def test_layers_nest_and_keep_their_own_options() -> None:
    address = parse("demo:(before:2026-11-01T00:00Z/(file:my (new).fs?read_only=1))/(memory:)")
    before, memory = address.layers
    assert before == Address(
        "before", "2026-11-01T00:00Z", (file("my (new).fs", read_only=True),), {}, {}
    )
    assert memory.scheme == "memory"


def test_a_layer_may_be_a_plain_path() -> None:
    assert parse("demo:(base.fs)").layers == (file("base.fs"),)


def test_zodburi_writes_the_options_of_a_demo_address_behind_a_hash() -> None:
    assert parse("demo:(file://a.fs)/(memory://b)#pool_size=3").database == {"pool_size": 3}


def test_read_only_reaches_every_storage_that_knows_it() -> None:
    address = read_only_address(parse("demo:(file:base.fs)/(file:changes.fs)"), FORMS)
    assert [layer.options for layer in address.layers] == [{"read_only": True}] * 2
    assert address.options == {}


@pytest.mark.parametrize(
    ("text", "part", "nearest"),
    [
        ("", "", "file:app.fs"),
        ("   ", "   ", "file:app.fs"),
        ("file:", "file:", "file:app.fs"),
        ("fil:app.fs", "fil", "file:app.fs"),
        ("File:app.fs", "File", "file:app.fs"),
        ("xyzzy:app.fs", "xyzzy", ""),
        ("app.fs?read_only=1", "?read_only=1", "file:app.fs?read_only=1"),
        ("file:app.fs?readonly=1", "readonly", "file:app.fs?read_only=1"),
        ("file:app.fs?zzz=1", "zzz", ""),
        ("file:app.fs?read_only=maybe", "read_only=maybe", "file:app.fs?read_only=1"),
        ("file:app.fs?read_only", "read_only=", ""),
        ("file:app.fs?cache_size=-1", "cache_size=-1", "file:app.fs?cache_size=1000"),
        ("file:app.fs?cache_size=lots", "cache_size=lots", "file:app.fs?cache_size=1000"),
        ("file:app.fs?quota=10parsecs", "quota=10parsecs", "file:app.fs?quota=100mb"),
        ("file:app.fs?pool_timeout=inf", "pool_timeout=inf", "file:app.fs?pool_timeout=300"),
        ("file:a.fs?cache_size=1&connection_cache_size=2", "connection_cache_size=2", ""),
        ("demo:", "", "demo:(file:base.fs)/(file:changes.fs)"),
        ("demo:base.fs", "base.fs", "demo:(base.fs)"),
        ("demo:(file:base.fs", "(file:base.fs", "demo:(file:base.fs)"),
        ("demo:(file:base.fs)x", "x", "demo:(file:base.fs)"),
        ("demo:x/(file:base.fs)", "x", "demo:(file:base.fs)/(file:changes.fs)"),
        (
            "demo:(file:a.fs)/(file:b.fs)/(file:c.fs)",
            "demo:(file:a.fs)/(file:b.fs)/(file:c.fs)",
            "demo:(file:base.fs)/(file:changes.fs)",
        ),
        ("demo:(fil:base.fs)/(memory:)", "fil", "demo:(file:base.fs)/(memory:)"),
        ("demo:(file:base.fs?cache_size=1)/(memory:)", "cache_size=1", ""),
        (
            "demo:(file:a.fs?quota=x)/(file:b.fs?quota=1)",
            "quota=x",
            "demo:(file:a.fs?quota=100mb)/(file:b.fs?quota=1)",
        ),
        (
            "before:yesterday/(file:app.fs)",
            "yesterday",
            "before:2026-11-01T00:00Z/(file:app.fs)",
        ),
        (
            "demo:(before:soon/(base.fs))/(memory:)",
            "soon",
            "demo:(before:2026-11-01T00:00Z/(base.fs))/(memory:)",
        ),
        ("before:(file:app.fs)", "before:(file:app.fs)", BEFORE.example),
        (
            "before:2026-11-01/file:app.fs",
            "2026-11-01/file:app.fs",
            "before:2026-11-01/(file:app.fs)",
        ),
    ],
)
def test_a_malformed_address_names_the_wrong_part_and_the_nearest_right_one(
    text: str, part: str, nearest: str
) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert (caught.value.address, caught.value.part) == (text, part)
    assert caught.value.nearest == nearest
    if nearest:
        parse(nearest)


def test_the_message_says_where_what_and_what_instead() -> None:
    with pytest.raises(AddressError) as caught:
        parse("fil:app.fs")
    assert str(caught.value) == (
        "address 'fil:app.fs': 'fil' is not a scheme (there are before, demo, file, memory); "
        "did you mean 'file:app.fs'?"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("demo:(a.fs)/(b.fs)/(c.fs)", "has 3 layers, expected 1 to 2"),
        ("before:2026-11-01/(a.fs)/(b.fs)", "has 2 layers, expected 1"),
        ("pair:(a.fs)", "has 1 layer, expected 2"),
    ],
)
def test_a_wrong_number_of_layers_is_told_with_the_right_one(text: str, reason: str) -> None:
    pair = Form("pair", "pair:(a.fs)/(b.fs)", min_layers=2, max_layers=2)
    with pytest.raises(AddressError) as caught:
        parse_address(text, {**FORMS, "pair": pair})
    assert caught.value.reason == reason


def test_what_stands_behind_a_hash_is_the_option_that_the_scheme_says() -> None:
    forms = {"page": Form("page", "page:a#b", text="path", fragment="part", options={"part": TEXT})}
    assert parse_address("page:a?cache_size=1#b", forms) == Address(
        "page", "a", (), {"part": "b"}, {"cache_size": 1}
    )
    assert parse_address("page:a#", forms).options == {}
    assert parse("file:a#b").text == "a#b"  # where the scheme says nothing, it is of the path


def test_an_option_that_no_storage_has_is_answered_with_those_near_it() -> None:
    with pytest.raises(AddressError) as caught:
        parse("file:app.fs?readonly=1")
    assert "(near are read_only)" in str(caught.value)
    with pytest.raises(AddressError) as caught:
        parse("file:app.fs?zzz=1")
    assert "(there are cache_size, cache_size_bytes, classes," in str(caught.value)


@settings(deadline=None)  # a busy machine is no finding
@given(st.text(alphabet="filedmobr:()/?#=&% 1~.") | st.text())
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    with suppress(AddressError):
        assert parse(text).scheme in FORMS
