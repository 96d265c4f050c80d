"""Reads of the file storage."""
