"""Other databases, for orientation: each module has its own `PREPARES`, workloads by name.

They promise other things than Perdure and ZODB: what each leaves out is said where it
is built. So their times stand apart, and there are no ratios.
"""
