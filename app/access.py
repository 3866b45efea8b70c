"""Who asks, and what they may do: viewers look, analysts write lists and plans, admins build and roll back."""

from dataclasses import dataclass
from typing import Literal

from flask import g, has_request_context

from ..sql.errors import RegularsError

Role = Literal["viewer", "analyst", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "analyst", "admin")


class NotAllowed(RegularsError):
    """The role of who asks does not reach. Answered with 403."""

    exit_code = 2


@dataclass(frozen=True)
class Person:
    """Who asks. On loopback without sign-in that is whoever sits at the machine, who may do everything."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Say whether this person's role is at least that one.

        Examples
        --------
        >>> Person("ann", "analyst").may("viewer"), Person("ann", "analyst").may("admin")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Person("local", "admin")


def current_person() -> Person:
    """Return who sent the request that is being answered, as the server found out; never what the page claims."""
    return getattr(g, "person", LOCAL) if has_request_context() else LOCAL


def require(role: Role) -> Person:
    """Return who asks, if that role is theirs.

    Raises
    ------
    NotAllowed
        Their role does not reach.
    """
    person = current_person()
    if not person.may(role):
        raise NotAllowed(f"this needs the role {role}; {person.name} has the role {person.role}: ask an admin")
    return person
