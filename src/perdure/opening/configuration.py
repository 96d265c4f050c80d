"""``zconfig:`` addresses: a section of a configuration file, as ZODB's sections are written.

    zconfig:/etc/app.conf           the first database in the file, else the first storage
    zconfig:/etc/app.conf#main      the one with this name

ZConfig reads the file; it comes with the extra ``zconfig``.
"""

import difflib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Final

from perdure.errors import AddressError, MissingExtraError
from perdure.interfaces import Storage
from perdure.opening.address import Address, Form
from perdure.opening.options import FLAG, PATH, TEXT
from perdure.opening.registry import Scheme
from perdure.opening.sections import DatabaseSection, open_section
from perdure.opening.writing import address_text

__all__ = ["SCHEMES"]

_OURS: Final = Path(__file__).resolve().parents[1]

_ZODB: Final = "ZODB"

_SCHEMA: Final = """
<schema>
  <import package="{package}" file="{file}"/>
  <multisection type="ZODB.storage" name="*" attribute="storages"/>
  <multisection type="ZODB.database" name="*" attribute="databases"/>
</schema>
"""


def _open(address: Address, layers: Sequence[Storage]) -> Storage:
    section = _section(address)
    storage = section.storage if isinstance(section, DatabaseSection) else section
    opened: Storage = open_section(storage, address.options.get("read_only", False))
    return opened


def _database_options(address: Address) -> Mapping[str, Any]:
    section = _section(address)
    return section.options if isinstance(section, DatabaseSection) else {}


def _section(address: Address) -> Any:
    """Return the section that `address` names."""
    config = _configuration(address)
    sections = [*config.databases, *config.storages]
    if not sections:
        reason = "has no section that describes a database or a storage"
        raise AddressError(address_text(address), address.text, reason)
    wanted = address.options.get("section")
    if wanted is None:
        return sections[0]
    for section in sections:
        if section.name == wanted.lower():  # ZConfig reads names as lower case
            return section
    names = sorted({section.name for section in sections if section.name})
    there = f"there are {', '.join(names)}" if names else "its sections have no names"
    close = difflib.get_close_matches(wanted, names, n=1)
    raise AddressError(
        address_text(address),
        wanted,
        f"is no section of {address.text} ({there})",
        f"zconfig:{address.text}#{close[0]}" if close else "",
    )


def _configuration(address: Address) -> Any:
    try:
        import ZConfig  # slow, and an extra
    except ImportError:
        raise MissingExtraError("a zconfig address", "ZConfig", "zconfig") from None
    path = Path(address.text).expanduser()
    if not path.is_file():
        raise AddressError(address_text(address), address.text, "is no file")
    package, file = _sections()
    schema = ZConfig.loadSchemaFile(StringIO(_SCHEMA.format(package=package, file=file)))
    try:
        return ZConfig.loadConfig(schema, str(path.absolute()))[0]
    except (ZConfig.ConfigurationError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split()).removesuffix(" (line -1, -1)")
        reason = f"cannot be read: {found}"
        if package != _ZODB and _imports_others(path):
            reason += (
                "; what it imports may stand on ZODB's sections: set PERDURE_COMPAT=1 in the "
                "environment, so that ZODB's names lead to Perdure"
            )
        raise AddressError(address_text(address), address.text, reason) from error


def _imports_others(path: Path) -> bool:
    return any(line.lstrip().startswith(b"%import") for line in path.read_bytes().splitlines())


def _sections() -> tuple[str, str]:
    """Return the package and file that define the sections.

    Where `ZODB` leads to Perdure it is ZODB's own: the components of other packages
    import that one, and ZConfig wants each section defined once.
    """
    found = find_spec(_ZODB)
    if found is not None and found.origin is not None and _OURS in Path(found.origin).parents:
        return _ZODB, "component.xml"
    return "perdure.opening", "sections.xml"


SCHEMES: Final = (
    Scheme(
        Form(
            "zconfig",
            "zconfig:/etc/app.conf#main",
            text="path",
            text_needed=True,
            text_kind=PATH,
            fragment="section",
            options={"path": PATH, "read_only": FLAG, "section": TEXT},
        ),
        _open,
        _database_options,
    ),
)
