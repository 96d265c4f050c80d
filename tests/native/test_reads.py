"""What a file storage does in C is what the pure functions do, or is left to them."""

import pytest

from perdure.ids import p64
from perdure.storages.file import FileStorage
from samples.transactions import write

reads = pytest.importorskip("perdure.native._reads", reason="it is not built")

TID = p64(77)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        reads.history(0, 1, 0, 0)


def test_nothing_is_leaked(storage: FileStorage) -> None:
    import tracemalloc

    for n in range(5):
        write(storage, {p64(1): b"x" * 20 * (n + 1), p64(2): b"y"})
    view = storage._opened()
    descriptor, position = view.file.descriptor, view.index.get(p64(1))

    def all_of_it() -> None:
        revisions, _ = reads.history(descriptor, p64(1), position, 5)
        assert [each["size"] for each in revisions][:2] == [100, 80]

    all_of_it()
    tracemalloc.start()
    try:
        all_of_it()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            all_of_it()
        assert tracemalloc.get_traced_memory()[0] - before < 5_000
    finally:
        tracemalloc.stop()
