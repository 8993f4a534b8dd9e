# SPDX-License-Identifier: GPL-3.0-or-later
"""What steps on access control lists change: privileges given and taken, noted in the observed state.

Bound by the planners to their steps; see effects_roles.py. What a role that is to go still holds decides which steps
clear it, so each change is noted there as well.
https://www.postgresql.org/docs/current/sql-revoke.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_roles
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import (
    AclEntry,
    AclObject,
    CatalogKey,
    Change,
    Dependent,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Dependencies,
    PassedOn,
    Role,
    ServerState,
)


def grant(state: ServerState, *, grantee: str, database: str, changes: Sequence[Change]) -> None:
    """GRANTEE gets what CHANGES say, each from its grantor."""
    for change in changes:
        one = change.object
        one.entries[grantee] = _given(one.entries.get(grantee, ()), change)
        if change.option and not change.column and grantee != one.owner:
            one.options[grantee] = one.options.get(grantee, frozenset()) | {change.privilege}
        if change.grantor != one.owner:
            dependent = Dependent(grantee, change.column, frozenset({change.privilege}))
            one.passed_on[change.grantor] = (*one.passed_on.get(change.grantor, ()), dependent)
        if change.grantor != one.owner or (change.option and grantee != one.owner):
            _add_passed_on(state, database, grantee, change)
        for (who, column), may in one.effective.items():
            if column in (change.column, column if not change.column else "") and _has_rights_of(state, who, grantee):
                one.effective[who, column] = may | {change.privilege}
    _note(state, database, grantee, {id(one.object): one.object for one in changes}.values())


def revoke(
    state: ServerState, *, grantee: str, database: str, changes: Sequence[Change], cascade: bool = False
) -> None:
    """GRANTEE loses what CHANGES say of what it got from the grantor of each; CASCADE: what it passed on, too."""
    for change in changes:
        for dependent in change.object.passed_on.get(grantee, ()) if cascade else ():
            further = [replace(change, grantor=grantee, option=False)]
            revoke(state, grantee=dependent.grantee, database=database, changes=further, cascade=True)
        one = change.object
        one.entries[grantee] = tuple(_left(one.entries.get(grantee, ()), change))
        able = [entry.grantable for entry in one.entries[grantee] if not entry.column]
        one.options[grantee] = frozenset().union(*able)
        if not change.option:
            one.passed_on[change.grantor] = tuple(_kept(one.passed_on.get(change.grantor, ()), grantee, change))
        if not change.option or change.grantor == one.owner:
            _take_passed_on(state, database, grantee, change)
        for (who, column), may in one.effective.items():
            if (
                not change.option
                and _has_rights_of(state, who, grantee)
                and not _holds(state, one, who, column, change.privilege)
            ):
                one.effective[who, column] = may - {change.privilege}
    _note(state, database, grantee, {id(one.object): one.object for one in changes}.values())


def may(state: ServerState, who: str, one: AclObject, privilege: str) -> bool:
    """Whether WHO may do something after all, through PUBLIC or its roles, as far as that is known."""
    known = state.roles.get(who)
    if privilege in one.effective.get((who, ""), ()) or (known and known.superuser):
        return True
    return _holds(state, one, who, "", privilege)


def _given(entries: Iterable[AclEntry], change: Change) -> tuple[AclEntry, ...]:
    words = frozenset({change.privilege})
    option = words if change.option else frozenset()
    found = []
    entry = AclEntry(change.grantor, change.column, frozenset(), frozenset())
    for one in entries:
        if (one.grantor, one.column) == (change.grantor, change.column):
            entry = one
        else:
            found.append(one)
    found.append(entry._replace(privileges=entry.privileges | words, grantable=entry.grantable | option))
    return tuple(found)


def _left(entries: Iterable[AclEntry], change: Change) -> Iterator[AclEntry]:
    """A REVOKE on a table is one on each of its columns as well."""
    words = {change.privilege}
    for one in entries:
        here = one.column == change.column or (change.object.type == "table" and not change.column)
        if one.grantor == change.grantor and here:
            privileges = one.privileges if change.option else one.privileges - words
            one = one._replace(privileges=privileges, grantable=one.grantable - words)  # noqa: PLW2901
        if one.privileges:
            yield one


def _kept(passed_on: Iterable[Dependent], grantee: str, change: Change) -> Iterator[Dependent]:
    for one in passed_on:
        here = one.column == change.column or (change.object.type == "table" and not change.column)
        left = one.privileges - {change.privilege} if one.grantee == grantee and here else one.privileges
        if left:
            yield one._replace(privileges=left)


def _has_rights_of(state: ServerState, who: str, grantee: str) -> bool:
    return grantee == PUBLIC or effects_roles.reaches(state, who, grantee, inherited=True)


def _holds(state: ServerState, one: AclObject, who: str, column: str, privilege: str) -> bool:
    """Whether WHO may still do it, through whatever is known of the object's list."""
    for grantee, entries in one.entries.items():
        if _has_rights_of(state, who, grantee):
            if any(entry.column in ("", column) and privilege in entry.privileges for entry in entries):
                return True
    return False


def _note(state: ServerState, database: str, grantee: str, objects: Iterable[AclObject]) -> None:
    """Note for a role that is to go which of the objects name it now."""
    role = state.roles.get(grantee)
    if role is None or role.dependencies is None:
        return
    for one in objects:
        where = "" if one.type == "database" else database
        named = grantee != one.owner and bool(one.entries.get(grantee) or one.passed_on.get(grantee))
        there = state.acls.get(database or one.name)
        owner = there.real_owner(one) if there else one.owner
        owner = "" if owner == state.facts.bootstrap else owner
        set_dependency(state, grantee, where, one.catalog_key, owner, there=named)


def set_dependency(
    state: ServerState, name: str, database: str, key: CatalogKey, owner: str | None, *, there: bool
) -> None:
    """Note whether a role that is to go is named by something in DATABASE ("" for what is shared)."""
    role = state.roles.get(name)
    if role is None or role.dependencies is None:
        return
    had = role.dependencies.privileges
    inside = {one: whose for one, whose in had.get(database, {}).items() if one != key}
    if there:
        inside[key] = owner
    privileges = {where: those for where, those in had.items() if where != database}
    if inside:
        privileges[database] = inside
    state.roles[name] = replace(role, dependencies=replace(role.dependencies, privileges=privileges))


def _going(state: ServerState, names: Iterable[str]) -> Iterator[tuple[Role, Dependencies]]:
    for name in set(names):
        role = state.roles.get(name)
        if role and role.dependencies is not None:
            yield role, role.dependencies


def _add_passed_on(state: ServerState, database: str, grantee: str, change: Change) -> None:
    one = change.object
    where = "" if one.type == "database" else database
    words = frozenset({change.privilege})
    there = state.acls.get(database or one.name)
    owner = there.real_owner(one) if there else one.owner
    new = PassedOn(
        *(one.type, one.schema, one.name, one.arguments, change.column, change.grantor, grantee, words),
        owner=owner if change.grantor == one.owner else "",
    )
    for role, had in _going(state, (grantee, change.grantor)):
        passed_on = {**had.passed_on, where: (*had.passed_on.get(where, ()), new)}
        state.roles[role.name] = replace(role, dependencies=replace(had, passed_on=passed_on))


def _take_passed_on(state: ServerState, database: str, grantee: str, change: Change) -> None:
    one = change.object
    where = "" if one.type == "database" else database
    for role, had in _going(state, (grantee, change.grantor)):
        rest = []
        for passed in had.passed_on.get(where, ()):
            same = (passed.type, passed.schema, passed.name, passed.arguments) == (
                *(one.type, one.schema, one.name, one.arguments),
            )
            mine = same and (passed.grantor, passed.grantee) == (change.grantor, grantee)
            here = passed.column == change.column or (one.type == "table" and not change.column)
            left = passed.privileges - {change.privilege} if mine and here else passed.privileges
            if left:
                rest.append(replace(passed, privileges=left))
        passed_on = {**had.passed_on, where: tuple(rest)}
        state.roles[role.name] = replace(role, dependencies=replace(had, passed_on=passed_on))
