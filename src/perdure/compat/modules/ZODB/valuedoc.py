"""`ZODB.valuedoc`: a value that explains itself."""

__all__ = ["ValueDoc"]


class ValueDoc:
    """Stands in documentation for a value, which `text` describes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text
