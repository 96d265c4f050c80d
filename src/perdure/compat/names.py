"""Classes of Perdure that go by ZODB's names while these are installed.

What travels by its dotted name, in a pickle that another process reads or in a
message, has to carry the name that ZODB gave it: errors, interfaces, and the
classes that stand in records.
"""

__all__ = ["go_by"]


def go_by(module: str, *classes: type) -> None:
    """Have `classes` say that they are defined in `module`, one of ZODB's."""
    for each in classes:
        each.__module__ = module
