"""`ZODB.conversionhack`: empty, as in ZODB; kept because old programs import it."""
