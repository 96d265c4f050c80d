"""ZODB's module names, for programs and packages that import `ZODB`.

    import perdure.compat

    perdure.compat.install()

    import ZODB  # is Perdure from here on

`aliases` puts the names in place and `differences` says what is not the same.
The modules themselves lie in `modules/ZODB`, a directory that Python is led to only
by the names: nothing in it is to be imported any other way.
"""

from perdure.compat.aliases import install, installed
from perdure.compat.differences import DIFFERENCES, Difference

__all__ = ["DIFFERENCES", "Difference", "install", "installed"]
