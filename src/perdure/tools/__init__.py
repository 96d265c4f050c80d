"""What one does to a database from outside; each tool is a function, and a command in `cli`."""

from perdure.tools.info import Info, describe
from perdure.tools.progress import Progress
from perdure.tools.transactions import LoggedTransaction, transactions

__all__ = [
    "Info",
    "LoggedTransaction",
    "Progress",
    "describe",
    "transactions",
]
