"""The one place where addresses, storages and databases meet.

address   what an address says, as values (pure)
options   the kinds of options that addresses have
registry  which schemes there are; other packages add theirs
schemes, layerschemes     those that Perdure brings, loaded when an address asks for them
configuration, sections   databases that a configuration file describes
writing   what was parsed as text again, with absolute paths
addressed what stands at an address: `open`, `connection`, `open_storage`
database  `DB`

What stands here is loaded when it is first used: `DB` needs nothing of what addresses need.
"""

from typing import TYPE_CHECKING

from perdure.faces import loading

if TYPE_CHECKING:
    from perdure.opening.address import Address, Form
    from perdure.opening.addressed import (
        ENVIRONMENT_VARIABLE,
        connection,
        open,
        open_storage,
        parse,
    )
    from perdure.opening.database import DB
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
]

_WHERE = {
    "DB": "perdure.opening.database",
    "ENVIRONMENT_VARIABLE": "perdure.opening.addressed",
    "Address": "perdure.opening.address",
    "Form": "perdure.opening.address",
    "Scheme": "perdure.opening.registry",
    "absolute_address": "perdure.opening.writing",
    "address_text": "perdure.opening.writing",
    "connection": "perdure.opening.addressed",
    "forms": "perdure.opening.registry",
    "open": "perdure.opening.addressed",
    "open_storage": "perdure.opening.addressed",
    "parse": "perdure.opening.addressed",
    "register": "perdure.opening.registry",
}

if not TYPE_CHECKING:  # a type checker shall notice names that are not there
    __getattr__ = loading(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
