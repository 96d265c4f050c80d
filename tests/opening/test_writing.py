from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.opening import Address, absolute_address, address_text, forms, open_storage, parse


@pytest.mark.parametrize(
    "text",
    [
        "file:app.fs",
        "file:my app 100%.fs?cache_size=7&read_only=1",
        "memory:scratch",
        "memory:",
        "demo:(file:base.fs)/(file:changes.fs)?cache_size=5000&classes=a.*,b",
        "demo:(file:base.fs)",
        "before:2026-11-01T00:00Z/(file:app.fs?blob_dir=b%3F%29)",
        "demo:(before:2026-11-01/(file:a (b).fs))/(memory:)",
        "file:app.fs?read_only=1&stop=2026-11-01",
        "file:app.fs?quota=10mb&pool_timeout=2.5&xrefs=0",
    ],
)
def test_an_address_is_written_as_text_that_says_the_same(text: str) -> None:
    address = parse(text)
    assert parse(address_text(address)) == address


@given(st.text(alphabet="ab()?%/&#=+ .:~é", min_size=1))
def test_any_path_comes_back_even_from_within_layers(path: str) -> None:
    address = Address("demo", "", (Address("file", path), Address("file", "x.fs")))
    assert parse(address_text(address)) == address


def test_paths_become_absolute_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    address = parse("demo:(file:~/base.fs?blob_dir=~/blobs)/(file:changes.fs)?cache_size=7")
    absolute = absolute_address(address, forms)
    base, changes = absolute.layers
    assert (base.text, base.options) == ("/home/ada/base.fs", {"blob_dir": "/home/ada/blobs"})
    assert changes.text == str(tmp_path / "changes.fs")
    assert absolute.database == {"cache_size": 7}


def test_a_name_and_a_time_are_no_paths() -> None:
    for text in ("memory:scratch", "before:2026-11-01/(memory:scratch)"):
        address = parse(text)
        assert absolute_address(address, forms) == address


def test_a_path_with_every_difficulty_leads_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "50% (of) it ) ? #1 +.fs"
    storage = open_storage(address_text(Address("file", str(path))))
    storage.close()
    assert path.is_file()
