"""A transactional database of Python object graphs."""
