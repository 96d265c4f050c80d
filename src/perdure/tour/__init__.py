"""A tour of Perdure on real data: the source of the running Python's standard library."""

from perdure.tour.guide import take_tour
from perdure.tour.target import NotATourError

__all__ = ["NotATourError", "take_tour"]
