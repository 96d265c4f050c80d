"""The decoder of records."""
