"""The one place where addresses, storages and databases meet.

address   what an address says, as values (pure)
options   the kinds of options that addresses have
registry  which schemes there are; other packages add theirs
schemes   the schemes that Perdure brings
configuration, sections   databases that a configuration file describes
writing   what was parsed as text again, with absolute paths
database  `open`, `connection` and `DB`
"""

from perdure.opening import schemes
from perdure.opening.address import Address, Form
from perdure.opening.database import (
    DB,
    ENVIRONMENT_VARIABLE,
    connection,
    open,
    open_storage,
    parse,
)
from perdure.opening.registry import Scheme, forms, register
from perdure.opening.writing import absolute_address, address_text

__all__ = [
    "DB",
    "ENVIRONMENT_VARIABLE",
    "Address",
    "Form",
    "Scheme",
    "absolute_address",
    "address_text",
    "connection",
    "forms",
    "open",
    "open_storage",
    "parse",
    "register",
    "schemes",
]
