"""`perdure info`: what a database is, at a glance."""

import json
from datetime import UTC, datetime

import click

from perdure.cli.addresses import refuse_missing_file
from perdure.clock import time_of
from perdure.ids import tid_repr
from perdure.opening import open_storage, parse
from perdure.tools.info import Info, describe

__all__ = ["command"]


@click.command("info", short_help="Say how large and how old a database is.")
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(address: str, as_json: bool) -> None:
    """Print the size, the age and the abilities of the database at ADDRESS.

    It is opened for reading only, and no class of it is imported.
    """
    refuse_missing_file(address)
    storage = open_storage(parse(address, read_only=True))
    try:
        info = describe(storage)
    finally:
        storage.close()
    click.echo(json.dumps(_as_data(info), indent=2) if as_json else _as_text(info))


def _as_data(info: Info) -> dict[str, object]:
    return {
        "name": info.name,
        "size_bytes": info.size_bytes,
        "object_count": info.object_count,
        "first_tid": None if info.first_tid is None else tid_repr(info.first_tid),
        "first_time": None if info.first_tid is None else _time(info.first_tid),
        "last_tid": None if info.last_tid is None else tid_repr(info.last_tid),
        "last_time": None if info.last_tid is None else _time(info.last_tid),
        "capabilities": list(info.capabilities),
    }


def _as_text(info: Info) -> str:
    rows = [
        ("name", info.name),
        ("size", f"{info.size_bytes:,} bytes"),
        ("objects", f"{info.object_count:,}"),
        ("first transaction", _moment(info.first_tid)),
        ("last transaction", _moment(info.last_tid)),
        ("can do", ", ".join(info.capabilities)),
    ]
    return "\n".join(f"{name:<19}{value}" for name, value in rows)


def _moment(tid: bytes | None) -> str:
    return "none" if tid is None else f"{_time(tid)}  {tid_repr(tid)}"


def _time(tid: bytes) -> str:
    return datetime.fromtimestamp(time_of(tid), UTC).isoformat(timespec="seconds")
