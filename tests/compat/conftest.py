"""Tests in `aliased` run in a process where ZODB's names lead to Perdure; see `test_aliased`."""

from perdure.compat import installed

collect_ignore = [] if installed() else ["aliased"]
