"""Writes, or reads, a database with every kind of object; run under ZODB and under Perdure.

python pickles.py write|read|change DIRECTORY
python -m perdure.compat pickles.py ...
"""

import sys
from datetime import datetime
from pathlib import Path

import transaction
import ZODB
import ZODB.blob
import ZODB.FileStorage
from BTrees.IOBTree import IOBTree
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent import Persistent
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import PersistentWeakKeyDictionary, WeakRef
from ZODB.broken import Broken, PersistentBroken
from ZODB.persistentclass import PersistentMetaClass


def class_factory(connection, module, name):
    """Find persistent classes in the root, and all else as usual."""
    if module == "stored":
        return connection.root()["classes"][name]
    return ZODB.broken.find_global(module, name)


def opened(directory: str) -> ZODB.DB:
    storage = ZODB.FileStorage.FileStorage(f"{directory}/d.fs", blob_dir=f"{directory}/blobs")
    return ZODB.DB(storage, class_factory=class_factory)


def write(root) -> None:
    """Fill the root. The module `vanishing` exists only here."""
    import vanishing

    root["mapping"] = PersistentMapping(a=1)
    root["list"] = PersistentList([1, "two", b"three", 4.0, None, datetime(2026, 11, 21)])
    root["tree"] = OOBTree({str(n): n for n in range(200)})
    root["numbers"] = IOBTree(dict.fromkeys(range(200), root["mapping"]))
    root["set"] = OOTreeSet("abc")
    root["length"] = Length(7)
    root["weak"] = WeakRef(root["mapping"])
    root["weak keys"] = PersistentWeakKeyDictionary([(root["length"], "value")])
    root["blob"] = ZODB.blob.Blob(b"blob data")
    root["broken"] = vanishing.Thing(x=1)
    root["broken value"] = [vanishing.Value(y=2)]
    root["classes"] = PersistentMapping()
    cls = PersistentMetaClass("Made", (Persistent,), {"__module__": "stored"})
    cls.color = "red"
    root["classes"]["Made"] = cls
    transaction.commit()
    root["instances"] = PersistentMapping(one=cls())
    root["instances"]["one"].size = 3


def check(root) -> None:
    """Assert that all of it is there. The module `vanishing` is not."""
    assert dict(root["mapping"]) == {"a": 1}
    assert type(root["mapping"]) is PersistentMapping
    assert list(root["list"]) == [1, "two", b"three", 4.0, None, datetime(2026, 11, 21)]
    assert dict(root["tree"]) == {str(n): n for n in range(200)}
    assert root["numbers"][150] is root["mapping"]
    assert list(root["set"]) == ["a", "b", "c"]
    assert root["length"]() == 7
    assert root["weak"]() is root["mapping"]
    assert root["weak keys"][root["length"]] == "value"
    with root["blob"].open() as file:
        assert file.read() == b"blob data"
    assert type(root["blob"]) is ZODB.blob.Blob
    broken = root["broken"]
    assert isinstance(broken, PersistentBroken)
    assert broken.__Broken_state__ == {"x": 1}, broken.__Broken_state__
    value = root["broken value"][0]
    assert isinstance(value, Broken)
    assert value.__Broken_state__ == {"y": 2}
    cls = root["classes"]["Made"]
    assert isinstance(cls, PersistentMetaClass)
    assert cls.color == "red"
    assert type(root["instances"]["one"]) is cls
    assert root["instances"]["one"].size == 3


def change(root) -> None:
    """Write records anew that hold what others wrote, the broken value among them."""
    check(root)
    root["changed"] = root["broken value"]
    root["broken value"] = list(root["broken value"])
    root["list"]._p_changed = True
    root["numbers"][1000] = root["blob"]
    root["classes"]["Made"].color = "red"
    with root["blob"].open("w") as file:
        file.write(b"blob data")


def main(what: str, directory: str) -> None:
    if what == "write":
        (Path(directory) / "gone").mkdir(exist_ok=True)
        (Path(directory) / "gone" / "vanishing.py").write_text(
            "from persistent import Persistent\n"
            "class Thing(Persistent):\n"
            "    def __init__(self, **facts): self.__dict__.update(facts)\n"
            "class Value:\n"
            "    def __init__(self, **facts): self.__dict__.update(facts)\n"
        )
        sys.path.insert(0, f"{directory}/gone")
    db = opened(directory)
    connection = db.open()
    {"write": write, "read": check, "change": change}[what](connection.root())
    transaction.commit()
    connection.close()
    db.close()
    print(ZODB.__file__)


if __name__ == "__main__":
    main(*sys.argv[1:])
