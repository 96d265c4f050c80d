"""A transactional database of Python object graphs."""

__version__ = "0.1.0.dev0"
