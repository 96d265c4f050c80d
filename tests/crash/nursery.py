"""A process that starts committing processes, quickly: everything is imported when it forks.

It reads lines: `start PATH` starts a process that commits, `pack PATH` one that packs as
well, over and over; both write `pid N` first. `reap` waits until that has ended and writes
`reaped STATUS`. The committing process writes a line `done WORKER NUMBER SYNCS` for each
commit that has returned, with how many syncs there were so far, `packed` for each
pack, and `failed ERROR` when it cannot go on.
"""

import gc
import logging
import os
import sys
import threading

from crash.workers import work
from perdure.clock import time_of
from perdure.storages.file import FileStorage

__all__ = ["WORKERS"]

WORKERS = 3


def say(*words: object) -> None:
    # In one call, so that lines of several threads do not mix.
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def end(error: object) -> None:
    say("failed", repr(error).replace("\n", " "))
    os._exit(1)


def commit_until_killed(path: str, packing: bool) -> None:
    storage = FileStorage(path, checkpoint_bytes=20_000, pack_keep_old=False)

    def acknowledge(worker: int, number: int) -> None:
        say("done", worker, number, round(storage.counters()["syncs"]))

    def pack() -> None:
        while packing:
            storage.pack(time_of(storage.lastTransaction()), lambda record: [], gc=False)
            say("packed")

    threads = [threading.Thread(target=pack)]
    threads += [
        threading.Thread(target=work, args=(storage, worker, acknowledge))
        for worker in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda death: end(death.exc_value)
    gc.freeze()
    child = 0
    for line in sys.stdin:
        command, _, path = line.strip().partition(" ")
        if command == "reap":
            _, status = os.waitpid(child, 0)
            say("reaped", os.waitstatus_to_exitcode(status))
            continue
        child = os.fork()
        if not child:
            try:
                say("pid", os.getpid())
                commit_until_killed(path, packing=command == "pack")
            except BaseException as error:
                end(error)


if __name__ == "__main__":
    main()
