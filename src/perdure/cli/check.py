"""`perdure check`: does everything in a database fit together, and is nothing missing."""

from pathlib import Path
from typing import Any

import click

from perdure.cli.addresses import refuse_missing_file
from perdure.cli.arguments import address as address_argument
from perdure.cli.opened import opened_storage
from perdure.cli.output import count_text, echo_json, echo_table
from perdure.cli.progress import progress_bar
from perdure.errors import POSError
from perdure.ids import oid_repr
from perdure.opening import parse
from perdure.tools import Checked, Finding, check, check_file

__all__ = ["command"]


@click.command("check", short_help="Check that a database is sound.")
@address_argument
@click.option("--blob-dir", type=click.Path(path_type=Path), help="Where the blobs are.")
@click.option("--no-references", is_flag=True, help="Do not look into the records.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def command(
    context: click.Context,
    address: str,
    blob_dir: Path | None,
    no_references: bool,
    as_json: bool,
) -> None:
    """Check the database at ADDRESS: structure, pointers, checksums, references, blobs.

    The file may be in use; it is only read, and no class is imported. The exit code is 0 if
    the database is sound, 1 if it is damaged, 2 if it could not be checked.
    """
    refuse_missing_file(address)
    try:
        found = _check(address, blob_dir, not no_references)
    except (POSError, OSError) as error:
        if context.find_root().params.get("traceback"):
            raise
        click.echo(f"perdure: {error}", err=True)
        context.exit(2)
    if as_json:
        echo_json(_as_data(found))
    else:
        _print(found)
    context.exit(0 if found.sound else 1)


def _check(address: str, blob_dir: Path | None, follow_references: bool) -> Checked:
    parsed = parse(address, read_only=True)
    if parsed.scheme == "file":
        options = parsed.options
        named = blob_dir or options.get("blob_dir") or options.get("blobstorage_dir")
        with progress_bar("checking", in_bytes=True) as progress:
            return check_file(
                Path(parsed.text).expanduser(),
                blob_dir=None if named is None else Path(named).expanduser(),
                follow_references=follow_references,
                progress=progress,
            )
    if blob_dir is not None or not follow_references:
        raise click.UsageError("--blob-dir and --no-references are for the file of a database")
    with opened_storage(address) as storage, progress_bar("checking") as progress:
        return check(storage, progress)


def _print(found: Checked) -> None:
    if found.classes:
        rows = [(f"{r.size_bytes:,}", f"{r.count:,}", r.class_name) for r in found.classes]
        echo_table([("bytes", "records", "class"), *rows], right=(0, 1))
    what = [f"{count_text(found.records, 'record')} of {count_text(found.objects, 'object')}"]
    if found.transactions:
        what.insert(0, count_text(found.transactions, "transaction"))
        what.append(f"{count_text(found.unchecked, 'transaction')} without a checksum")
    if not found.references:
        what.append("references not followed")
    if found.index:
        what.append(f"index {found.index}")
    click.echo(f"{found.name}: {', '.join(what)}")
    for finding in found.findings:
        click.echo(f"{_kind(finding)}: {finding}")
    damaged = sum(finding.damage for finding in found.findings)
    click.echo("sound" if found.sound else f"damaged: {count_text(damaged, 'finding')}")


def _kind(finding: Finding) -> str:
    """Return the kind of a finding in words: "missing object"."""
    letters = (f" {c.lower()}" if c.isupper() else c for c in type(finding).__name__)
    return "".join(letters).strip()


def _as_data(found: Checked) -> dict[str, Any]:
    return {
        "name": found.name,
        "sound": found.sound,
        "size_bytes": found.size_bytes,
        "transactions": found.transactions,
        "unchecked": found.unchecked,
        "records": found.records,
        "objects": found.objects,
        "references": found.references,
        "index": found.index,
        "classes": [
            {"class": room.class_name, "count": room.count, "size_bytes": room.size_bytes}
            for room in found.classes
        ],
        "findings": [
            {
                "kind": _kind(finding),
                "damage": finding.damage,
                "position": finding.position,
                "oid": None if finding.oid is None else oid_repr(finding.oid),
                "found": finding.found,
                "expected": finding.expected,
                "consequence": finding.consequence,
            }
            for finding in found.findings
        ],
    }
