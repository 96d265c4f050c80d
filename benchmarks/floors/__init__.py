"""Floors: the part of a workload's work that no database gets around, and nothing else.

They say how far a figure can rise on the machine of the run: a target that is above
what a floor alone would give cannot be reached there. Each module has its own
`PREPARES`, workloads by name, as other databases have.
"""
