"""The steps that change things, alone and against one another."""

from collections.abc import Callable

import transaction
from transaction import TransactionManager

import perdure
from perdure.errors import ConflictError

__all__ = ["conflict", "earlier", "isolation", "resolution", "undo"]


def isolation(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Make a change: nobody sees it before it is committed"""
    mine = db.open(transaction_manager=TransactionManager())
    yours = db.open(transaction_manager=TransactionManager())
    mine.root.library.note = "changed by me"
    say(f"before my commit  I see {mine.root.library.note!r}")
    say(f"                  you see {yours.root.library.note!r}")
    mine.transaction_manager.commit()
    say(f"after it          you still see {yours.root.library.note!r}: your moment is consistent")
    yours.transaction_manager.begin()
    say(f"your next one     you see {yours.root.library.note!r}")
    mine.close()
    yours.close()


def conflict(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Two transactions change one object: the second is told, and tries again"""
    mine = db.open(transaction_manager=TransactionManager())
    yours = db.open(transaction_manager=TransactionManager())
    mine.root.library.note = "mine"
    yours.root.library.note = "yours"
    yours.transaction_manager.commit()
    try:
        mine.transaction_manager.commit()
    except ConflictError as error:
        say(str(error))
        mine.transaction_manager.abort()
        mine.root.library.note += ", and mine"
        mine.transaction_manager.commit()
    say(f"tried again, the note is {mine.root.library.note!r}")
    mine.close()
    yours.close()


def resolution(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Two transactions count with one counter: it knows how to merge them"""
    mine = db.open(transaction_manager=TransactionManager())
    yours = db.open(transaction_manager=TransactionManager())
    before = mine.root.library.visits()
    mine.root.library.visits.change(1)
    yours.root.library.visits.change(10)
    yours.transaction_manager.commit()
    mine.transaction_manager.commit()
    say(f"{before} + 1 + 10 = {mine.root.library.visits()}, and nobody had to try again")
    mine.close()
    yours.close()


def earlier(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Lose something, and look at the database as it was before"""
    moment = db.lastTransaction()
    with db.transaction("lose json") as connection:
        del connection.root.library.modules["json"]
    with db.transaction() as connection:
        say(f"now: is json there? {'json' in connection.root.library.modules}")
    past = db.open(at=moment, transaction_manager=TransactionManager())
    json = past.root.library.modules["json"]
    say(f"then: json has {len(json.functions)} functions, {json.functions[0].name} first")
    past.close()


def undo(db: perdure.DB, say: Callable[[str], None]) -> None:
    """Undo the transaction that lost it"""
    lost = db.undoInfo(0, 1)[0]
    say(f"undo {lost['description']!r}")
    db.undo(lost["id"])
    transaction.commit()
    with db.transaction() as connection:
        say(f"is json there? {'json' in connection.root.library.modules}")
