"""What layers arrange with the storage below them."""

from collections.abc import Callable
from typing import Any

import pytest

import perdure
from perdure.storages import (
    DemoStorage,
    MappingStorage,
    ReadOnlyStorage,
    ReplicatingStorage,
    compressed,
)


class Client(MappingStorage):
    """A storage that has to ask a server what is new, as ZEO's does."""

    def __init__(self) -> None:
        super().__init__("client")
        self.asked = 0

    def sync(self) -> None:
        self.asked += 1


@pytest.mark.parametrize(
    "layer",
    [
        lambda client: compressed(client, "zlib"),
        lambda client: DemoStorage(changes=client),
        lambda client: ReplicatingStorage(client, MappingStorage("backup")),
        lambda client: ReadOnlyStorage(compressed(client, "zlib")),
    ],
)
def test_a_transaction_begins_with_what_the_server_below_has(
    layer: Callable[[Any], Any],
) -> None:
    client = Client()
    perdure.DB(compressed(client, "zlib", close_base=False)).close()  # there is a root
    db = perdure.DB(layer(client))
    with db.transaction():
        pass
    asked = client.asked
    with db.transaction():
        assert client.asked > asked
    db.close()
