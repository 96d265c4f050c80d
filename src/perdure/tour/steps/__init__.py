"""What the tour does, step by step.

A step is a function whose source is shown before it runs: short, complete, and
its docstring is its title. It tells what it found through `say`.
"""
