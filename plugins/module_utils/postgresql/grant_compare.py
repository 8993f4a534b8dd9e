# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared privileges against observed ones: what a role lacks, and what it has that nobody declares any more; pure.

Called by grant_privileges.py for the plan and by grant.py for the facts. Held is what stands in an object's own
list for the role itself: what it may do through PUBLIC or through its roles is not its own. What was given by hand
is neither declared nor known to have been given, and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Grant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import grant_items
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import AclObject, Change, DatabaseAcls
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import Items, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PRIVILEGES, ordered
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState

FIELD = "grants"
_LISTED = 100


class Place(NamedTuple):
    """An object, by its identity within what was observed, and a column of it or nothing."""

    number: int
    column: str


Rights = Mapping[str, bool]


@dataclass
class Resolved:
    """Rights by place, and the objects of the places."""

    rights: dict[Place, dict[str, bool]] = field(default_factory=dict)
    objects: dict[int, AclObject] = field(default_factory=dict)


@dataclass
class Compared:
    """What a role lacks of what is declared, and what is too much, in one database."""

    lacking: list[Change] = field(default_factory=list)
    extra: list[Change] = field(default_factory=list)
    missing: list[DbopsError] = field(default_factory=list)
    """Declared on what is not there."""


def compare(
    database: DatabaseAcls,
    grantee: str,
    *,
    wanted: Items,
    given: Items,
    others: Sequence[Mapping[Target, Rights]] = (),
) -> Compared:
    """Compare what is WANTED, was GIVEN, and is declared by OTHERS with what GRANTEE holds."""
    found = Compared()
    declared = resolve(database, wanted, found.missing)
    for place, rights in declared.rights.items():
        one = declared.objects[place.number]
        has = held(database, one, grantee, place.column)
        for privilege, option in rights.items():
            if privilege not in has or (option and not has[privilege]):
                found.lacking.append(Change(one, place.column, privilege, option))
    before = resolve(database, _beyond(given, wanted), [])
    if not before.rights:
        return found
    kept = Resolved()
    for items in others:
        _add(kept, resolve(database, items, []))
    _add(kept, declared)
    for place, rights in before.rights.items():
        one = before.objects[place.number]
        if grantee == database.real_owner(one):
            continue
        has, keep = held(database, one, grantee, place.column), kept.rights.get(place, {})
        for privilege, option in rights.items():
            if privilege not in has:
                continue
            if privilege not in keep:
                found.extra.append(Change(one, place.column, privilege))
            elif option and has[privilege] and not keep[privilege]:
                found.extra.append(Change(one, place.column, privilege, option=True))
    return found


def _beyond(given: Items, wanted: Items) -> Items:
    """Give what was given and is not wanted in the same words; mostly nothing, and then nothing is looked up."""
    found: Items = {}
    for target, rights in given.items():
        now = wanted.get(target, {})
        rest = {word: option for word, option in rights.items() if word not in now or (option and not now[word])}
        if rest:
            found[target] = rest
    return found


def _add(into: Resolved, other: Resolved) -> None:
    into.objects |= other.objects
    for place, rights in other.rights.items():
        have = into.rights.setdefault(place, {})
        for privilege, option in rights.items():
            have[privilege] = option or have.get(privilege, False)


def resolve(database: DatabaseAcls, items: Mapping[Target, Rights], missing: list[DbopsError]) -> Resolved:
    """Give what ITEMS mean on the objects that are there; what is not goes to MISSING."""
    found = Resolved()
    for target, rights in items.items():
        those = database.find(target)
        if not those:
            missing += _missing(database, target)
        for one in those:
            found.objects[id(one)] = one
            have = found.rights.setdefault(Place(id(one), target.column), {})
            for privilege, option in rights.items():
                have[privilege] = option or have.get(privilege, False)
    return found


def held(database: DatabaseAcls, one: AclObject, grantee: str, column: str) -> dict[str, bool]:
    """Give what GRANTEE holds by its own entries, and whether it may pass it on. An owner always may."""
    owner = grantee == database.real_owner(one)
    if owner and grantee != one.owner:
        return dict.fromkeys(PRIVILEGES[one.type], True)
    found: dict[str, bool] = {}
    for entry in one.entries.get(grantee, ()):
        # An owner needs no entry of its own for a column.
        if entry.column == column or (owner and not entry.column):
            for privilege in entry.privileges:
                found[privilege] = owner or privilege in entry.grantable or found.get(privilege, False)
    return found


def _missing(database: DatabaseAcls, target: Target) -> Iterator[DbopsError]:
    where = f"of database {database.database.name} does not exist"
    if database.schema(target.schema) is None:
        yield _not_there(f"schema {target.schema} {where}")
    elif target.name == "*":
        return
    elif target.type == "column" and database.find(target._replace(column="")):
        yield _not_there(f"column {target.column} of table {target.schema}.{target.name} {where}")
    elif target.type == "function":
        there = ", ".join(one.label for one in database.overloads(target))
        yield _not_there(f"function {target.schema}.{target.name} {where}{f'; there are: {there}' if there else ''}")
    else:
        kind = "table" if target.type == "column" else target.type
        dotted = "; its schema belongs into `schema`" if "." in target.name and target.schema == "public" else ""
        yield _not_there(f"{kind} {target.schema}.{target.name} {where}{dotted}")


def _not_there(text: str) -> DbopsError:
    return DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=FIELD)


def claims(database: DatabaseAcls, items: Mapping[Target, Rights], changes: Iterable[Change]) -> bool:
    """Whether ITEMS include something of what CHANGES take."""
    theirs = resolve(database, items, []).rights
    return any(one.privilege in theirs.get(Place(id(one.object), one.column), {}) for one in changes)


def entries_held(entries: Iterable[Grant], grantee: str, state: ServerState, *, inline: bool) -> dict[str, Any]:
    """Give the facts about declared entries: how many have their effect, and what GRANTEE does not hold itself."""
    found = [_lacks(entry, grantee, state, inline=inline) for entry in entries]
    return {
        "direct_grants": sum(one is not None and all(lacking["effective"] for lacking in one) for one in found),
        "missing": [lacking for one in found for lacking in one or ()][:_LISTED],
    }


def _lacks(entry: Grant, grantee: str, state: ServerState, *, inline: bool) -> list[dict[str, Any]] | None:
    """Give what GRANTEE does not hold itself of what one declared entry gives, for people.

    None: the entry is wrong, or means something that is not there.
    """
    try:
        items = grant_items.read_entry(entry, state.facts.version_number, inline=inline)
    except DbopsError:
        return None
    database = state.acls.get(entry.database or "")
    if database is None or (database.problem and any(target.type != "database" for target in items)):
        return None
    found = compare(database, grantee, wanted=items, given={})
    if found.missing:
        return None
    lacking: dict[tuple[str, str, str, bool], list[str]] = {}
    for one in found.lacking:
        effective = one.privilege in one.object.effectively(grantee, one.column) and not one.option
        key = ("column" if one.column else one.object.type, one.object.label, one.column, effective)
        lacking.setdefault(key, []).append(one.privilege)
    return [
        {"database": entry.database, "type": kind, "name": f"{label}.{column}" if column else label}
        | {"privileges": ordered(kind, words), "effective": effective}
        for (kind, label, column, effective), words in lacking.items()
    ]
