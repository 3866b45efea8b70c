"""Who asks, and what they may do: viewers look, analysts write lists and plans, admins build and roll back."""

from dataclasses import dataclass

from flask import current_app, g, has_request_context

from ..sql.app_settings import Role
from ..sql.errors import RegularsError

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
    """Return who sent the request that is being answered, as the server found out; never what the page claims.

    Outside a request, in a command or a thread that a request started, that is whoever runs the program: ask inside.

    Raises
    ------
    NotAllowed
        People sign in here, and nobody has.
    """
    if not has_request_context():
        return LOCAL
    open_to_all = current_app.config.get("REGULARS_SIGN_IN", "none") == "none"
    person = g.get("person", LOCAL if open_to_all else None)
    if person is None:
        raise NotAllowed("nobody is signed in; sign in and try again")
    return person


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
