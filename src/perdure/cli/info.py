"""`perdure info`: what a database is, at a glance."""

from dataclasses import asdict

import click

from perdure.cli.arguments import address as address_argument
from perdure.cli.arguments import moment_text, time_text
from perdure.cli.opened import opened_storage
from perdure.cli.output import echo_json
from perdure.cli.progress import progress_bar
from perdure.ids import tid_repr
from perdure.tools import FileState, Info, describe

__all__ = ["command"]


@click.command("info", short_help="Say how large and how old a database is.")
@address_argument
@click.option("--quick", is_flag=True, help="Do not count transactions.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(address: str, quick: bool, as_json: bool) -> None:
    """Print the size, the age, the state and the abilities of the database at ADDRESS.

    It is opened for reading only, and no class of it is imported.
    """
    counting = progress_bar("counting", in_bytes=True)
    with opened_storage(address) as storage, counting as progress:
        info = describe(storage, quick=quick, progress=progress)
    if as_json:
        echo_json(_as_data(info))
    else:
        click.echo("\n".join(f"{name:<19}{value}" for name, value in _rows(info)))


def _as_data(info: Info) -> dict[str, object]:
    return {
        "name": info.name,
        "size_bytes": info.size_bytes,
        "object_count": info.object_count,
        "transaction_count": info.transaction_count,
        "first_tid": None if info.first_tid is None else tid_repr(info.first_tid),
        "first_time": None if info.first_tid is None else time_text(info.first_tid),
        "last_tid": None if info.last_tid is None else tid_repr(info.last_tid),
        "last_time": None if info.last_tid is None else time_text(info.last_tid),
        "file": None if info.file is None else asdict(info.file),
        "capabilities": list(info.capabilities),
        "native": info.native,
        "native_problems": info.native_problems,
    }


def _rows(info: Info) -> list[tuple[str, str]]:
    rows = [
        ("name", info.name),
        ("size", f"{info.size_bytes:,} bytes"),
        ("objects", f"{info.object_count:,}"),
    ]
    if info.transaction_count is not None:
        rows.append(("transactions", _transactions(info.transaction_count, info.file)))
    rows.append(("first transaction", moment_text(info.first_tid)))
    rows.append(("last transaction", moment_text(info.last_tid)))
    if info.file is not None:
        rows.append(("checksums", _checksums(info.file)))
        rows.append(("index", _index(info.file, info.size_bytes)))
    rows.append(("can do", ", ".join(info.capabilities)))
    used = [name for name, native in info.native.items() if native]
    rows.append(("native code", ", ".join(used) or "none"))
    missing = [f"{name} ({why})" for name, why in info.native_problems.items()]
    if missing:
        rows.append(("not native", ", ".join(missing)))
    return rows


def _transactions(count: int, file: FileState | None) -> str:
    packed = "" if file is None or not file.packed_count else f", {file.packed_count:,} packed"
    return f"{count:,}{packed}"


def _checksums(file: FileState) -> str:
    if file.checked_count == file.transaction_count:
        return "in every transaction"
    return f"in {file.checked_count:,} of {file.transaction_count:,} transactions"


def _index(file: FileState, size_bytes: int) -> str:
    if file.indexed_bytes is None:
        return f"none that can be used ({file.index_problem}): opening reads the whole file"
    behind = size_bytes - file.indexed_bytes
    return f"opening reads {behind:,} bytes behind it" if behind else "up to date"
