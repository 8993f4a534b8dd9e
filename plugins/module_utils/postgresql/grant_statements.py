# SPDX-License-Identifier: GPL-3.0-or-later
"""Single privileges to be given or taken become few statements: one for many objects that get the same; pure.

Called by grant_privileges.py, which knows what has to change and in whose name. A statement names a bounded number
of objects, so that none grows without limit. Routines are named by their types, each with its schema.
https://www.postgresql.org/docs/current/sql-grant.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_acls
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import AclObject, Change
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC, ordered

_WORDS = {
    "database": "DATABASE",
    "schema": "SCHEMA",
    "table": "TABLE",
    "sequence": "SEQUENCE",
    # Functions, procedures, aggregates and window functions alike.
    "function": "ROUTINE",
}
_PER_STATEMENT = 100
_SHOWN = 3

_TEMPLATES = {
    (Action.GRANT, False): "GRANT {} ON {} {} TO {}",
    (Action.GRANT, True): "GRANT {} ON {} {} TO {} WITH GRANT OPTION",
    (Action.REVOKE, False): "REVOKE {} ON {} {} FROM {}",
    (Action.REVOKE, True): "REVOKE GRANT OPTION FOR {} ON {} {} FROM {}",
}


class Name(NamedTuple):
    """In whose name statements are sent: the roles that must be at hand, and the one to be, if that matters."""

    roles: tuple[str, ...] = ()
    role: str | None = None


class Sentence(NamedTuple):
    """A step, and in whose name it is."""

    step: Step
    name: Name


def sentences(
    action: Action,
    changes: Iterable[tuple[Change, Name]],
    grantee: str,
    database: str | None,
    *,
    changes_something: bool = True,
    cascade: bool = False,
) -> Iterator[Sentence]:
    """Give the steps that make CHANGES for GRANTEE, in the session of DATABASE.

    CASCADE: what the grantee has passed on goes as well.
    """
    objects: dict[int, tuple[AclObject, dict[tuple[Name, bool, bool], dict[str, list[str]]]]] = {}
    by_place: dict[tuple[int, str, str, bool, Name], list[Change]] = {}
    for change, name in changes:
        place = (id(change.object), change.column, change.privilege, change.option, name)
        by_place.setdefault(place, []).append(change)
        _ignored, groups = objects.setdefault(id(change.object), (change.object, {}))
        of_columns = bool(change.column)
        privileges = groups.setdefault((name, change.option, of_columns), {})
        privileges.setdefault(change.privilege, []).append(change.column)
    alike: dict[tuple[Name, bool, str, tuple[tuple[str, tuple[str, ...]], ...]], list[AclObject]] = {}
    for one, groups in objects.values():
        for (name, option, of_columns), privileges in groups.items():
            kind = "column" if of_columns else one.type
            what = tuple((word, tuple(sorted(privileges[word]))) for word in ordered(kind, privileges))
            alike.setdefault((name, option, one.type, what), []).append(one)
    for (name, option, kind, what), those in alike.items():
        for number in range(0, len(those), _PER_STATEMENT):
            some = those[number : number + _PER_STATEMENT]
            statement = Statement(
                _TEMPLATES[action, option] + (" CASCADE" if cascade else ""),
                Joined([_privilege(word, columns) for word, columns in what]),
                Keyword(_WORDS[kind]),
                Joined([_reference(one) for one in some]),
                Keyword("PUBLIC") if grantee == PUBLIC else Identifier(grantee),
            )
            target = _target(action, [word for word, _ignored in what], kind, some, grantee, option=option)
            revokes = action is Action.REVOKE
            those_changes = [
                change
                for one in some
                for word, columns in what
                for column in columns
                for change in by_place[id(one), column, word, option, name]
            ]
            effect = partial(effects_acls.revoke, cascade=cascade) if revokes else effects_acls.grant
            step = Step(
                action,
                target,
                statement,
                destructive=revokes,
                database=database,
                changes=changes_something,
                effect=partial(effect, grantee=grantee, database=database or "", changes=those_changes),
            )
            yield Sentence(step, name)


def in_names(found: Sequence[Sentence], database: str | None) -> list[Step]:
    """Give the steps of sentences with what makes the session be the role that each is in the name of."""
    steps: list[Step] = []
    for role, group in itertools.groupby(found, key=lambda one: one.name.role):
        inner = [one.step for one in group]
        if role is None:
            steps += inner
            continue
        become = Statement("SET LOCAL ROLE {}", Identifier(role))
        end = Statement("SET LOCAL ROLE NONE")
        steps.append(Step(Action.RUN, f"in the name of {role}", become, database=database, changes=False))
        steps += inner
        steps.append(Step(Action.RUN, "in our own name", end, database=database, changes=False))
    return steps


def _privilege(word: str, columns: tuple[str, ...]) -> Part:
    if columns == ("",):
        return Keyword(word)
    return Statement("{} ({})", Keyword(word), Joined([Identifier(column) for column in columns]))


def _reference(one: AclObject) -> Part:
    if one.type == "database":
        return Identifier(one.name)
    if one.type == "schema":
        return Identifier(one.schema)
    name = Identifier(one.schema, one.name)
    if one.type != "function":
        return name
    return Statement("{}({})", name, Joined([Identifier(schema, kind) for schema, kind in one.arguments]))


def _target(
    action: Action, words: Sequence[str], kind: str, those: Sequence[AclObject], grantee: str, *, option: bool
) -> str:
    """Name for people what a statement is about."""
    shown = ", ".join(one.label for one in those[:_SHOWN])
    more = f" and {len(those) - _SHOWN} more" if len(those) > _SHOWN else ""
    what = f"{', '.join(words)} on {kind}{'s' if len(those) > 1 else ''} {shown}{more}"
    if option:
        what = f"grant option for {what}" if action is Action.REVOKE else f"{what}, with grant option,"
    return f"{what} {'to' if action is Action.GRANT else 'from'} {grantee}"
