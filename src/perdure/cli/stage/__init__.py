"""`perdure stage`: rehearse changes over a frozen view of a database, then apply or discard them.

group     the command, and those below it
running   a command on the stage
looking   what was changed
ending    applying and discarding
changes   the file that holds the changes, by its name
"""
