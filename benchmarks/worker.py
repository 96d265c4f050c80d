"""The process in which one engine works, told what to do by lines of JSON.

It is started by `benchmarks.session`. Its standard output is the answers' alone:
what a product prints goes to standard error.
"""

import json
import logging
import os
import signal
import sys
import traceback
from dataclasses import astuple
from pathlib import Path
from typing import Any

from benchmarks.engines import ENGINES
from benchmarks.session import LocalSession, Settings
from benchmarks.workload import NotAvailableError

__all__ = ["main"]


def answer(session: LocalSession, request: dict[str, Any]) -> dict[str, Any]:
    """Do what was asked; return the answer: a result, why there is none, or an error."""
    result = None
    try:
        match request["do"]:
            case "prepare":
                session.prepare(
                    request["workload"], Path(request["directory"]), int(request["size"])
                )
            case "round":
                result = {metric: astuple(sample) for metric, sample in session.round().items()}
            case _:
                session.end()
    except NotAvailableError as error:
        return {"missing": str(error)}
    except Exception:
        return {"error": traceback.format_exc()}
    return {"result": result}


def main(name: str, collecting: str, slow_syncs_s: str) -> None:
    """Work until there are no more requests."""
    logging.disable()  # no product's log is what is timed
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who started this says that it was interrupted
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    session = LocalSession(ENGINES[name], Settings.from_arguments(collecting, slow_syncs_s))
    for line in sys.stdin:
        print(json.dumps(answer(session, json.loads(line))), file=answers, flush=True)
    session.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
