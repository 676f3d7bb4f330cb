"""Which kinds of callers a route serves: what the matrices of API routes and of pages share."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """Which callers a kind of route serves, and which ones learn that they are not allowed.

    For all other callers the partition does not exist. Callers without good credentials get 401, or are led to
    the sign-in, unless `public`.
    """

    served: frozenset[str]
    forbidden: frozenset[str] = frozenset()
    public: bool = False


def rule(served: str, forbidden: str = "", *, public: bool = False) -> Rule:
    return Rule(frozenset(filter(None, served.split(", "))), frozenset(filter(None, forbidden.split(", "))), public)


READ = rule("reader, editor, admin", "writer")
WRITE = rule("writer, editor, admin", "reader")
CREATE = rule("writer, editor, admin", "no grant, reader, other admin")
DELETE = EXPORT = rule("editor, admin", "reader, writer")
READ_ANYWHERE = rule("reader, editor, other admin, admin", "no grant, writer")
MANAGE = rule("admin", "no grant, reader, writer, editor, other admin")
ANYONE = rule("no grant, reader, writer, editor, other admin, admin")
