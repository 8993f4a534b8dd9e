# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a database: declared database and observed server in, steps out; pure.

Called through the table of kinds.py. A new database is planned by database_create.py, what is inside of one by
database_content.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.init_sql import MEMORY
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Keyword,
    Literal,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    effects_databases,
    effects_roles,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_content import (
    declares_content,
    plan_content,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_create import (
    check_owner,
    check_tablespace,
    plan_create,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_options import (
    check_options,
    refuse_dropping,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.encodings import (
    encoding_name,
    same_locale,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import role_beside
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Database,
    ServerState,
    Wanted,
    WantedExtension,
)


def wanted(desired: DesiredDatabase) -> Wanted:
    """Give what must be read: the database, its content, its template, and the roles that are named."""
    privileges = desired.default_privileges or ()
    roles = {
        desired.owner,
        *(schema.owner for schema in desired.schemas),
        *(one.role for one in privileges),
        *(one.granted_by for one in privileges),
    }
    if not desired.present:
        roles.add(role_beside(desired.name))
    template = desired.template or "template1"
    return Wanted(
        roles=frozenset(role for role in roles if role),
        databases=frozenset({desired.name, template} if desired.present else {desired.name}),
        contents=frozenset({desired.name} if desired.present else ()),
        copies=frozenset({(desired.name, template)} if desired.present and declares_content(desired) else ()),
        extensions=frozenset(
            WantedExtension(desired.name, one.name, one.version, one.schema)
            for one in desired.extensions
            if one.present
        ),
    )


def observed(desired: DesiredDatabase, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    database = state.databases.get(desired.name)
    if database is None:
        return {"exists": False, "name": desired.name}
    content = database.content
    return {
        "exists": True,
        **{field: getattr(database, field) for field in _REPORTED},
        "extensions": [
            {"name": name, "version": one.version, "schema": one.schema}
            for name, one in sorted(content.extensions.items())
        ]
        if content
        else [],
        "schemas": [{"name": name, "owner": owner} for name, owner in sorted(content.schemas.items())]
        if content
        else [],
    }


_REPORTED = (
    *("name", "owner", "size_bytes", "encoding", "lc_collate", "lc_ctype", "tablespace", "connection_limit"),
    *("is_template", "allow_connections"),
)


def plan(desired: DesiredDatabase, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Plan one database. MEMORY is what the ledger says was given before (see default_privileges).

    Raises DbopsError for what cannot be or may not be done; what differs but can never be altered comes as the
    plan's `refusal`, beside the differences.
    """
    check_options(desired)
    existing = state.databases.get(desired.name)
    if not desired.present:
        refuse_dropping(desired.name, state)
        return _plan_drop(desired, existing, state, memory) if existing else Plan(drops=True)
    if existing is None:
        return plan_create(desired, state)
    return _plan_alter(desired, existing, state, memory)


def _plan_drop(desired: DesiredDatabase, existing: Database, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Plan the end of a database; its sessions are ended only where that was asked for."""
    target = f"database {existing.name}"
    name = Identifier(existing.name)
    _require_no_sessions(existing, state, end_sessions=desired.end_sessions, doing="dropped")
    steps = []
    if existing.is_template:
        unset = Statement("ALTER DATABASE {} IS_TEMPLATE false", name)
        steps.append(Step(Action.ALTER, target, unset, before=True, after=False, changes=False))
    # FORCE ends the sessions and drops without leaving a gap in which new ones could come. Without superuser it
    # fails where autovacuum is at work, which a plain DROP ends by itself.
    force = desired.end_sessions and (existing.sessions.count > 0 or state.facts.admin.superuser)
    template = "DROP DATABASE IF EXISTS {} WITH (FORCE)" if force else "DROP DATABASE IF EXISTS {}"
    drop = Statement(template, name)
    effect = partial(effects_databases.drop, name=existing.name)
    steps.append(
        Step(Action.DROP, target, drop, before=existing.name, destructive=True, transactional=False, effect=effect)
    )
    steps = acting_as([existing.owner], steps, state)
    beside = (memory.get(MEMORY) or {}).get("made", {}).get("beside")
    if beside and beside in state.role_names:
        # Made for what init_sql made, and for nothing else.
        drop_role = Statement("DROP ROLE {}", Identifier(beside))
        effect = partial(effects_roles.drop, name=beside)
        steps.append(Step(Action.DROP, f"role {beside}", drop_role, destructive=True, effect=effect))
    return Plan(
        steps=steps,
        differences=[Difference("exists", "false", "true", destructive=True)],
        drops=True,
    )


def _plan_alter(desired: DesiredDatabase, existing: Database, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    # Kept as it is where nobody can look into the database.
    plan = Plan(differences=_immutable(desired, existing), applied=dict(memory))
    if plan.differences:
        plan.refusal = _immutable_error(existing, plan.differences)
    opening, closing = _plan_settings(desired, existing, plan)
    owner = _plan_owner(desired, existing, state, plan)
    now_owner = (desired.owner if desired.allow_destructive else None) or existing.owner
    plan.steps += _plan_tablespace(desired, existing, state, plan)
    plan.steps += acting_as([existing.owner, now_owner], owner, state)
    plan.steps += acting_as([now_owner], opening, state)
    _plan_content(desired, existing, state, memory, plan, opened=bool(opening))
    plan.steps += acting_as([now_owner], closing, state)
    if plan.refusal:
        plan.steps.clear()
    return plan


def _plan_content(
    desired: DesiredDatabase,
    existing: Database,
    state: ServerState,
    memory: Mapping[str, Any],
    plan: Plan,
    *,
    opened: bool,
) -> None:
    if existing.content is not None:
        plan.applied = {}
        plan_content(
            desired,
            database_owner=desired.owner or existing.owner,
            content=existing.content,
            state=state,
            memory=memory,
            plan=plan,
        )
    elif opened:
        plan.incomplete = declares_content(desired)
    elif (
        not existing.allow_connections or (existing.connection_limit == 0 and not state.facts.admin.superuser)
    ) and desired.allow_connections is not True:
        plan.warnings.append(
            f"database {existing.name} takes no connections, so extensions, schemas and default privileges in it "
            "can neither be seen nor changed"
        )
    elif existing.content_problem and declares_content(desired):
        raise existing.content_problem
    elif existing.content_problem:
        plan.warnings.append(f"database {existing.name} could not be entered: {existing.content_problem.message}")


def _immutable(desired: DesiredDatabase, existing: Database) -> list[Difference]:
    found = []
    if desired.encoding and encoding_name(desired.encoding) != encoding_name(existing.encoding):
        found.append(Difference("encoding", desired.encoding, existing.encoding, immutable=True))
    for field, wanted, actual in (
        ("lcCollate", desired.lc_collate, existing.lc_collate),
        ("lcCtype", desired.lc_ctype, existing.lc_ctype),
    ):
        if wanted and not same_locale(wanted, actual):
            found.append(Difference(field, wanted, actual, immutable=True))
    return found


_OPTIONS = {"encoding": "encoding", "lcCollate": "lc_collate", "lcCtype": "lc_ctype"}


def _immutable_error(existing: Database, differences: list[Difference]) -> DbopsError:
    text = ", ".join(f"{_OPTIONS[one.field]} is {one.actual}, declared is {one.expected}" for one in differences)
    return DbopsError(
        Reason.IMMUTABLE_FIELD,
        f"database {existing.name} cannot be altered so: {text}. PostgreSQL fixes this when a database is created; "
        "declare what it has, or move the data into a new database",
        field=_OPTIONS[differences[0].field],
    )


def _plan_settings(desired: DesiredDatabase, existing: Database, plan: Plan) -> tuple[list[Step], list[Step]]:
    """Give the steps that let connections in, and all others: those come last, since they may shut us out."""
    opening: list[Step] = []
    closing: list[Step] = []
    target, name = f"database {existing.name}", Identifier(existing.name)
    for field, option, template, wanted, actual in (
        ("allowConnections", "allow_connections", "ALTER DATABASE {} ALLOW_CONNECTIONS {}", desired.allow_connections,
         existing.allow_connections),
        ("connectionLimit", "connection_limit", "ALTER DATABASE {} CONNECTION LIMIT {}", desired.connection_limit,
         existing.connection_limit),
        ("isTemplate", "is_template", "ALTER DATABASE {} IS_TEMPLATE {}", desired.is_template, existing.is_template),
    ):  # fmt: skip
        if wanted is None or wanted == actual:
            continue
        takes = field == "allowConnections" and not wanted
        plan.differences.append(Difference(field, _text(wanted), _text(actual), destructive=takes))
        value = Keyword(str(wanted).upper()) if isinstance(wanted, bool) else Literal(wanted)
        effect = partial(effects_databases.alter, name=existing.name, options={option: wanted})
        statement = Statement(template, name, value)
        step = Step(Action.ALTER, target, statement, actual, wanted, destructive=takes, effect=effect)
        opens = (field == "allowConnections" and wanted) or (field == "connectionLimit" and actual == 0)
        (opening if opens else closing).append(step)
    return opening, closing


def _text(value: bool | int) -> str:
    return str(value).lower()


def _plan_owner(desired: DesiredDatabase, existing: Database, state: ServerState, plan: Plan) -> list[Step]:
    if not desired.owner or desired.owner == existing.owner:
        return []
    check_owner(desired.owner, state, field="owner")
    admin = state.facts.admin
    if not (admin.superuser or admin.create_db):
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"{admin.name} may not change the owner of a database: that takes CREATEDB",
            field="owner",
        )
    plan.differences.append(Difference("owner", desired.owner, existing.owner, destructive=True))
    statement = Statement("ALTER DATABASE {} OWNER TO {}", Identifier(existing.name), Identifier(desired.owner))
    target = f"database {existing.name}"
    effect = partial(effects_databases.give, name=existing.name, owner=desired.owner)
    return [
        Step(
            Action.ALTER,
            target,
            statement,
            before=existing.owner,
            after=desired.owner,
            destructive=True,
            effect=effect,
        )
    ]


def _plan_tablespace(desired: DesiredDatabase, existing: Database, state: ServerState, plan: Plan) -> list[Step]:
    if not desired.tablespace or desired.tablespace == existing.tablespace:
        return []
    check_tablespace(desired.tablespace, state)
    if existing.name == state.facts.database:
        raise DbopsError(
            Reason.IN_USE,
            f"database {existing.name} cannot be moved to another tablespace by the session that is in it; "
            "declare another login_db",
            field="tablespace",
        )
    plan.differences.append(Difference("tablespace", desired.tablespace, existing.tablespace))
    _require_no_sessions(existing, state, end_sessions=desired.end_sessions, doing="moved to another tablespace")
    target, name = f"database {existing.name}", Identifier(existing.name)
    steps = []
    if existing.sessions.count:
        end = Statement(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = {} AND pid <> pg_backend_pid() AND usesysid IS NOT NULL",
            Literal(existing.name),
        )
        steps.append(Step(Action.RUN, f"sessions in {target}", end, changes=False))
    move = Statement("ALTER DATABASE {} SET TABLESPACE {}", name, Identifier(desired.tablespace))
    steps.append(
        Step(
            Action.ALTER,
            target,
            move,
            before=existing.tablespace,
            after=desired.tablespace,
            transactional=False,
            effect=partial(effects_databases.alter, name=existing.name, options={"tablespace": desired.tablespace}),
        )
    )
    return acting_as([existing.owner], steps, state)


def _require_no_sessions(existing: Database, state: ServerState, *, end_sessions: bool, doing: str) -> None:
    sessions = existing.sessions
    if not sessions.count:
        return
    if not end_sessions:
        raise DbopsError(
            Reason.IN_USE,
            f"database {existing.name} cannot be {doing} while there are {sessions.count} sessions in it; "
            "close them, or let them be ended with end_sessions",
            field="end_sessions",
        )
    if sessions.protected:
        roles = ", ".join(sorted(sessions.protected))
        raise DbopsError(
            Reason.IN_USE,
            f"database {existing.name} cannot be {doing} while there are sessions of {roles} in it, which "
            f"{state.facts.admin.name} may not end (that takes pg_signal_backend, and for superusers a superuser)",
            field="end_sessions",
        )
