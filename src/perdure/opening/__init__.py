"""The one place where addresses, storages and databases meet.

address   what an address says, as values (pure)
options   the kinds of options that addresses have
registry  which schemes there are; other packages add theirs
schemes   the schemes that Perdure brings
database  `open`, `connection` and `DB`
"""

from perdure.opening import schemes
from perdure.opening.address import Address, Form
from perdure.opening.database import DB, connection, open, open_storage, parse
from perdure.opening.registry import Scheme, register

__all__ = [
    "DB",
    "Address",
    "Form",
    "Scheme",
    "connection",
    "open",
    "open_storage",
    "parse",
    "register",
    "schemes",
]
