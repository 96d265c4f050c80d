"""A small Pyramid application over pyramid_zodbconn: three requests, and what was logged of them.

python -m perdure.compat pyramid_program.py DIRECTORY
"""

import sys
from pathlib import Path

import transaction
import ZODB
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid_zodbconn import get_connection


def count(request: Request) -> Response:
    root = get_connection(request).root()
    root["visits"] = root.get("visits", 0) + 1
    transaction.commit()
    return Response(str(root["visits"]))


def refuse(request: Request) -> Response:
    get_connection(request).root()["visits"] = "lost"
    transaction.abort()
    return Response("refused")


def main(directory: str) -> None:
    log = f"{directory}/transfer.log"
    config = Configurator(
        settings={
            "zodbconn.uri": f"file://{directory}/app.fs?connection_cache_size=77",
            "zodbconn.transferlog": log,
        }
    )
    config.include("pyramid_zodbconn")
    for name, view in (("count", count), ("refuse", refuse)):
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name)
    application = config.make_wsgi_app()
    answers = [
        Request.blank(path).get_response(application).text
        for path in ("/count", "/count", "/refuse", "/count")
    ]
    assert answers == ["1", "2", "refused", "3"], answers
    assert len(Path(log).read_text().splitlines()) == 4
    database = application.registry._zodb_databases[""]
    assert database.getCacheSize() == 77
    assert database.getActivityMonitor() is not None
    database.close()
    print(ZODB.__file__)


if __name__ == "__main__":
    main(sys.argv[1])
