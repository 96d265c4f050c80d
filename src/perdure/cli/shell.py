"""`perdure shell`: Python with a database open in it."""

import code
import sys
import traceback
from typing import Any

import click
import transaction

import perdure
from perdure.cli.addresses import refuse_missing_file
from perdure.cli.arguments import address as address_argument
from perdure.cli.progress import waiting

__all__ = ["command"]


@click.command("shell", short_help="Start Python with a database open.")
@address_argument
@click.option("--create", is_flag=True, help="Create the file if it is not there.")
@click.option("--read-only", is_flag=True, help="Open without the right to write.")
@click.option("-c", "program", metavar="CODE", help="Run CODE instead of asking for it.")
def command(address: str, create: bool, read_only: bool, program: str | None) -> None:
    """Start Python with the database at ADDRESS open.

    Preset are db, connection, root, transaction and perdure. What is not committed
    with transaction.commit() is gone in the end. Code may also come from stdin or -c.
    """
    if not create:
        refuse_missing_file(address, "--create makes an empty database of it")
    with waiting("opening"):
        db = perdure.open(address, read_only=read_only)
    try:
        connection = db.open()
        names = {
            "__name__": "__main__",
            "connection": connection,
            "db": db,
            "perdure": perdure,
            "root": connection.root(),
            "transaction": transaction,
        }
        if program is not None:
            _run(program, "-c", names)
        elif sys.stdin.isatty():
            _interact(address, names)
        else:
            _run(sys.stdin.read(), "<stdin>", names)
        transaction.abort()
        connection.close()
    finally:
        transaction.abort()
        db.close()


def _run(program: str, name: str, names: dict[str, Any]) -> None:
    try:
        exec(compile(program, name, "exec"), names)  # noqa: S102  it is what the user asked for
    except Exception:
        # The user's code, so the user's traceback, whatever kind of error it is.
        traceback.print_exc()
        click.get_current_context().exit(1)


def _interact(address: str, names: dict[str, Any]) -> None:
    root = names["root"]
    banner = (
        f"{address}: {len(root)} names in the root"
        f"{': ' + ', '.join(map(str, root)) if len(root) else ''}\n"
        "Preset: db, connection, root, transaction, perdure."
    )
    try:
        from IPython import start_ipython
    except ImportError:
        _complete_names(names)
        code.interact(banner, local=names, exitmsg="")
    else:
        print(banner)
        start_ipython(argv=["--no-banner"], user_ns=names)


def _complete_names(names: dict[str, Any]) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:  # a Python built without it: no editing, but it works
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
