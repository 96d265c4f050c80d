"""The step that puts a layer over the file."""

from collections.abc import Callable

import perdure

__all__ = ["stage"]


def stage(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Stage a change in a demo layer over the file, and throw it away"""
    layer = perdure.DB(perdure.DemoStorage(base=db.storage, close_base_on_close=False))
    with layer.transaction("away with all of it") as connection:
        connection.root.library.modules.clear()
    with layer.transaction() as connection:
        say(f"modules in the layer: {len(connection.root.library.modules)}")
    with db.transaction() as connection:
        say(f"modules in the file:  {len(connection.root.library.modules):,}")
    layer.close()
