"""`ZODB.scripts`: the scripts whose job Perdure does; `perdure --help` lists its own commands."""
