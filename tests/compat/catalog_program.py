"""A repoze.catalog in a data file: index, query, reopen, reindex.

python -m perdure.compat catalog_program.py DIRECTORY
"""

import sys
from types import SimpleNamespace

import ZODB
from repoze.catalog.catalog import ConnectionManager, FileStorageCatalogFactory
from repoze.catalog.indexes.field import CatalogFieldIndex
from repoze.catalog.indexes.keyword import CatalogKeywordIndex
from repoze.catalog.indexes.text import CatalogTextIndex
from repoze.catalog.query import Any, Contains, Eq, Gt


def document(number: int) -> SimpleNamespace:
    tags = ["even"] if number % 2 == 0 else ["odd", "strange"]
    return SimpleNamespace(number=number, text=f"hello world {number}", tags=tags)


def main(directory: str) -> None:
    factory = FileStorageCatalogFactory(f"{directory}/catalog.fs", "catalog")
    manager = ConnectionManager()
    catalog = factory(manager)
    catalog["number"] = CatalogFieldIndex("number")
    catalog["text"] = CatalogTextIndex("text")
    catalog["tags"] = CatalogKeywordIndex("tags")
    for number in range(200):
        catalog.index_doc(number, document(number))
    assert catalog.query(Gt("number", 189) & Contains("text", "world"))[0] == 10
    manager.commit()
    manager.close()

    manager = ConnectionManager()
    catalog = factory(manager)
    size, found = catalog.query(
        Any("tags", ["strange"]), sort_index="number", reverse=True, limit=3
    )
    assert (int(size), list(found)) == (3, [199, 197, 195])
    catalog.unindex_doc(199)
    catalog.reindex_doc(1, document(2))
    manager.commit()
    manager.close()

    manager = ConnectionManager()
    catalog = factory(manager)
    assert catalog.query(Eq("number", 2))[0] == 2
    assert catalog.query(Eq("number", 199))[0] == 0
    manager.close()
    print(ZODB.__file__)


if __name__ == "__main__":
    main(sys.argv[1])
