"""`ZODB.loglevels`: two levels below DEBUG, with their names."""

import logging
from typing import Final

__all__ = ["BLATHER", "TRACE"]

BLATHER: Final = 15
TRACE: Final = 5

logging.addLevelName(BLATHER, "BLATHER")
logging.addLevelName(TRACE, "TRACE")
