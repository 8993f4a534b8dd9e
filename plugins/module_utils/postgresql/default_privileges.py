# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of default privileges: what roles get on objects that somebody will make in a schema.

Called by database_content.py and grant.py; pure. Compared per grantor, schema, type of object and grantee. A
database declares a set exactly, a grant adds to it, and what any declaration still gives is taken away by none.
Nothing is revoked to be granted again.
https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    DefaultPrivilege,
    DesiredDatabase,
    DesiredGrant,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_defaults
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import DefaultAcl
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_work import Work
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import DefaultKey
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC, meant, ordered
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState

Keys = Mapping[DefaultKey, frozenset[str]]
_TYPES = {"tables": "table", "sequences": "sequence", "functions": "function", "types": "type"}
FIELD = "default_privileges"


class Change(NamedTuple):
    """Privileges that are to be granted or revoked."""

    key: DefaultKey
    action: Action
    privileges: frozenset[str]

    @property
    def text(self) -> str:
        """Name what changes, for people."""
        return f"{', '.join(ordered(_TYPES[self.key.object_type], self.privileges))} on {self.key}"


def declared_words(object_type: str, words: Iterable[str], version_number: int) -> frozenset[str]:
    """Give the privileges that declared WORDS mean. Raises DbopsError."""
    kind = _TYPES[object_type]
    names = [" ".join(word.upper().split()) for word in words]
    return meant(names, [kind], version_number, field=FIELD)[kind]


def grantee_name(name: str) -> str:
    """Give a grantee as the catalogs are read; everybody has two spellings."""
    return PUBLIC if name == PUBLIC.upper() else name


def held(database: str, acls: Iterable[DefaultAcl]) -> dict[DefaultKey, frozenset[str]]:
    """Give what was observed in a database by its keys."""
    return {DefaultKey(database, one.grantor, one.schema, one.object_type, one.grantee): one.privileges for one in acls}


def others(keys: Iterable[DefaultKey], own: tuple[str, str], state: ServerState) -> dict[DefaultKey, frozenset[str]]:
    """Give what other declarations than OWN give by these KEYS."""
    return {
        key: frozenset().union(*(one.default_privileges.get(key, ()) for one in state.others(key.grantee, own)))
        for key in keys
    }


def compare(wanted: Keys, given: Keys, others: Keys, has: Keys, *, exact: bool) -> Iterator[Change]:
    """Give what has to change: a set that is wanted becomes EXACT, or only what was given and is no more is taken."""
    nothing: frozenset[str] = frozenset()
    for key in dict.fromkeys([*wanted, *given]):
        now = has.get(key, nothing)
        wants = wanted.get(key, nothing)
        kept = wants | others.get(key, nothing)
        gone = now - kept if exact and key in wanted else (given.get(key, nothing) & now) - kept
        for action, privileges in ((Action.GRANT, wants - now), (Action.REVOKE, gone)):
            if privileges:
                yield Change(key, action, privileges)


def statement(change: Change) -> Statement:
    """Give the statement that makes a change."""
    key, action, privileges = change
    template = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} REVOKE {} ON {} FROM {}"
    if action is Action.GRANT:
        template = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {} TO {}"
    grantee: Part = Keyword("PUBLIC") if key.grantee == PUBLIC else Identifier(key.grantee)
    return Statement(
        template,
        Identifier(key.grantor),
        Identifier(key.schema),
        Joined([Keyword(name) for name in ordered(_TYPES[key.object_type], privileges)]),
        Keyword(key.object_type.upper()),
        grantee,
    )


def difference(change: Change) -> Difference:
    """Give the difference that a change ends."""
    if change.action is Action.GRANT:
        return Difference("defaultPrivileges.missing", change.text, "")
    return Difference("defaultPrivileges.extra", "", change.text, destructive=True)


def effect(change: Change) -> Callable[[ServerState], None]:
    """Give what notes a change in the state."""
    changed = effects_defaults.grant if change.action is Action.GRANT else effects_defaults.revoke
    return partial(changed, key=change.key, privileges=change.privileges)


def plan_default_privileges(desired: DesiredDatabase, memory: Mapping[str, Any], work: Work) -> None:
    """Add to WORK what must be granted and revoked, and to its plan what the ledger is to remember."""
    wanted = _wanted(desired.default_privileges or (), work)
    given = from_ledger(desired.name, memory.get(FIELD, ()))
    gone = {schema.name for schema in desired.schemas if not schema.present}
    kept = others({*wanted, *given}, ("database", desired.name), work.state)
    for change in compare(wanted, given, kept, held(desired.name, work.content.default_acls), exact=True):
        if change.key.schema in gone:
            continue
        grants = change.action is Action.GRANT
        what = f"default privileges on {change.key}"
        work.add(
            change.action,
            what,
            statement(change),
            roles=(change.key.grantor,),
            destructive=not grants,
            effect=effect(change),
        )
        work.plan.differences.append(difference(change))
    if wanted:
        work.plan.applied[FIELD] = to_ledger(wanted)


def _wanted(declared: Iterable[DefaultPrivilege], work: Work) -> dict[DefaultKey, frozenset[str]]:
    wanted: dict[DefaultKey, frozenset[str]] = {}
    declared_schemas = work.declared_schemas
    for one in declared:
        grantor = one.granted_by or work.database_owner
        grantee = grantee_name(one.role)
        work.require_role(grantor, field=FIELD)
        if grantee != PUBLIC:
            work.require_role(grantee, field=FIELD)
        if one.schema not in work.content.schemas and one.schema not in declared_schemas:
            raise DbopsError(
                Reason.DEPENDENCY_NOT_READY,
                f"schema {one.schema} of database {work.database} does not exist; declare it in schemas",
                field=FIELD,
            )
        key = DefaultKey(work.database, grantor, one.schema, one.object_type, grantee)
        privileges = declared_words(one.object_type, one.privileges, work.state.facts.version_number)
        wanted[key] = wanted.get(key, frozenset()) | privileges
    return wanted


def to_ledger(keys: Keys) -> list[list[Any]]:
    """Give privileges as plain data; the database's name is known where it is kept."""
    return [[*key[1:], sorted(privileges)] for key, privileges in keys.items()]


def of_grant(desired: DesiredGrant, version_number: int) -> dict[DefaultKey, frozenset[str]]:
    """Give what a grant declares. Raises DbopsError for what no server could do."""
    found: dict[DefaultKey, frozenset[str]] = {}
    for one in desired.default_privileges:
        for name in (one.database, one.schema, one.granted_by):
            check_name(name, field=FIELD)
        grantee = grantee_name(desired.grantee)
        key = DefaultKey(one.database, one.granted_by, one.schema, one.object_type, grantee)
        found[key] = found.get(key, frozenset()) | declared_words(one.object_type, one.privileges, version_number)
    return found


def from_ledger(database: str, rows: Iterable[Sequence[Any]]) -> dict[DefaultKey, frozenset[str]]:
    """Read what `to_ledger` gave."""
    return {DefaultKey(database, *row[:4]): frozenset(row[4]) for row in rows}
