import inspect

import pytest
import ZODB.interfaces
from zope.interface.interface import Method

from perdure.interfaces import INTERFACES, declared

OUR_OWN = {
    "IBatchStorage",
    "IBindingStorage",
    "IClassFinder",
    "IMeasuredStorage",
    "IRecordCheckingStorage",
    "ISealedBlobStorage",
}
FROM_ZODB = sorted({each.__name__ for each in INTERFACES.values()} - OUR_OWN)


@pytest.mark.parametrize("name", FROM_ZODB)
def test_an_interface_promises_no_less_than_zodbs_of_that_name(name: str) -> None:
    ours = getattr(declared, name)
    theirs = getattr(ZODB.interfaces, name)
    missing = set(theirs.names(all=True)) - set(ours.names(all=True))
    # A database adapts records in ZODB; here the wrapper alone does.
    assert missing == set()


@pytest.mark.parametrize("name", FROM_ZODB)
def test_an_interface_takes_the_arguments_that_zodbs_does(name: str) -> None:
    ours = getattr(declared, name)
    theirs = getattr(ZODB.interfaces, name)
    for method_name, method in theirs.namesAndDescriptions(all=True):
        if isinstance(method, Method):
            mine = ours[method_name]
            assert mine.positional[: len(method.positional)] == method.positional


def test_an_interface_is_derived_from_the_protocol_of_the_contract() -> None:
    for protocol, interface in INTERFACES.items():
        assert inspect.getdoc(protocol) == inspect.cleandoc(interface.__doc__)
