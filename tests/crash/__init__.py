"""Scenarios on disks that crash, and what must be there afterwards."""
