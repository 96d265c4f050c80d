"""The scan of a data file."""
