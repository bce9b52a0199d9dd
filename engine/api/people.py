"""Who edits: until there is sign-in, one local person."""

from __future__ import annotations

from sqlalchemy.orm import Session

from engine.storage.tables import Person

LOCAL_PERSON = "local"


def local_person(session: Session) -> str:
    """Return the id of the local person, whose row is made at first use."""
    if session.get(Person, LOCAL_PERSON) is None:
        session.add(Person(id=LOCAL_PERSON, name="This machine"))
        session.flush()
    return LOCAL_PERSON
