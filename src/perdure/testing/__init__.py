"""Help for tests: what storages promise (`contract`, which needs pytest), crashes (`faults`)."""
