"""Where keys come from, and what is said of what is none."""

import base64
import logging
import os
from pathlib import Path

import pytest

from perdure.errors import KeySourceError
from perdure.records.keyring import KeyRing, new_key
from perdure.storages.keys import (
    keys_from_environment,
    keys_from_file,
    keys_from_function,
    write_key_file,
)

ONE, TWO = bytes(32), bytes(range(32))
IDS = KeyRing(ONE, [TWO]).ids


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE.hex()}\n{TWO.hex()}\n",
        f"# keys\n\n  {ONE.hex()}  # current\r\n{base64.b64encode(TWO).decode()}",
        f"{ONE.hex().upper()},{TWO.hex()}",
    ],
)
def test_keys_are_hexadecimal_or_base_64_that_to_write_with_first(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.key"
    path.write_text(text)
    monkeypatch.setenv("APP_KEYS", text)

    assert keys_from_file(path).ids == IDS
    assert keys_from_environment("APP_KEYS").ids == IDS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no key"),
        ("# nothing\n\n", "no key"),
        (ONE.hex()[:-2], "key 1 of 31 bytes"),
        (f"{ONE.hex()}\n{TWO.hex()[:10]}", "key 2 of 5 bytes"),
        (f"{ONE.hex()}00", "key 1 of 33 bytes"),
        ("not a key!", "10 characters that are no key"),
        ("\x00\xff" * 16, "characters that are no key"),
    ],
)
def test_what_is_no_key_is_an_error_that_does_not_show_it(
    text: str, found: str, tmp_path: Path
) -> None:
    path = tmp_path / "app.key"
    path.write_text(text, "latin-1")

    with pytest.raises(KeySourceError) as caught:
        keys_from_file(path)

    assert caught.value.source == str(path)
    assert found in str(caught.value)
    assert len(text) < 5 or text.strip()[:20] not in str(caught.value)


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeySourceError, match="found no file"):
        keys_from_file(tmp_path / "none")
    with pytest.raises(KeySourceError, match="cannot be read"):
        keys_from_file(tmp_path)
    with pytest.raises(KeySourceError, match="environment variable NOT_SET: found nothing"):
        keys_from_environment("NOT_SET")


def test_a_function_returns_one_key_or_several() -> None:
    assert keys_from_function(lambda: ONE).ids == KeyRing(ONE).ids
    assert keys_from_function(lambda: [ONE, TWO]).ids == IDS
    for wrong in (b"", bytes(31), [], [ONE, b"short"]):
        with pytest.raises(KeySourceError):
            keys_from_function(lambda wrong=wrong: wrong)


def test_a_new_key_file_is_for_its_owner_and_goes_before_older_keys(tmp_path: Path) -> None:
    path = tmp_path / "app.key"

    first = write_key_file(path)
    second = write_key_file(path)

    assert os.stat(path).st_mode & 0o777 == 0o600
    assert len(first.ids) == 1
    assert second.ids == (keys_from_file(path).ids[0], *first.ids)
    assert [each.name for each in tmp_path.iterdir()] == ["app.key"]


def test_a_new_key_is_not_put_into_what_is_no_key_file(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear reader")

    with pytest.raises(KeySourceError):
        write_key_file(path)

    assert path.read_text() == "dear reader"


def test_a_key_file_that_others_may_read_gets_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "app.key"
    path.write_text(new_key().hex())
    path.chmod(0o640)

    with caplog.at_level(logging.WARNING, "perdure"):
        keys_from_file(path)

    assert "others than its owner may read this key file (mode 640)" in caplog.text
