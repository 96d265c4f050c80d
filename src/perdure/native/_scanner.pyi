"""References and classes of records, found in their bytes."""
