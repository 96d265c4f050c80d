"""The encoder of records."""
