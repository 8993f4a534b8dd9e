# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of what is inside of a database: schemas here, extensions and default privileges in files of their own.

Called by database.py and database_create.py with the observed content, or with what a new database starts with.
All steps run in the database itself and in one transaction, so a failing one leaves the content as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase, Schema
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_databases
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_extensions import (
    plan_extensions,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_work import Work
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.default_privileges import (
    plan_default_privileges,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import DatabaseContent, ServerState

_SHOWN = 5
"""How many objects a message lists."""


def declares_content(desired: DesiredDatabase) -> bool:
    """Whether anything inside of the database is declared."""
    return bool(desired.extensions or desired.schemas or desired.default_privileges)


def plan_content(
    desired: DesiredDatabase,
    *,
    database_owner: str,
    content: DatabaseContent,
    state: ServerState,
    memory: Mapping[str, Any],
    plan: Plan,
) -> None:
    """Add to PLAN what the content lacks. MEMORY is the ledger's record of what this declaration gave."""
    declared = frozenset(schema.name for schema in desired.schemas if schema.present)
    work = Work(desired.name, database_owner, content, state, plan, declared)
    for schema in desired.schemas:
        if schema.present:
            _plan_present(schema, work)
    plan_extensions(desired, work)
    plan_default_privileges(desired, memory, work)
    for schema in desired.schemas:
        if not schema.present and schema.name in content.schemas:
            _plan_absent(schema, desired, work)
    plan.steps += acting_as(work.roles, work.steps, state)


def _plan_present(schema: Schema, work: Work) -> None:
    target, name = f"schema {schema.name}", Identifier(schema.name)
    if schema.owner:
        work.require_role(schema.owner, field="schemas")
    actual = work.content.schemas.get(schema.name)
    if actual is None:
        create = Statement("CREATE SCHEMA {}", name)
        if schema.owner:
            create = Statement("CREATE SCHEMA {} AUTHORIZATION {}", name, Identifier(schema.owner))
        roles = (schema.owner,) if schema.owner else ()
        owner = schema.owner or work.state.facts.admin.name
        effect = partial(effects_databases.make_schema, database=work.database, name=schema.name, owner=owner)
        work.add(Action.CREATE, target, create, roles=roles, after=schema.owner, effect=effect)
        work.differs("schemas.missing", schema.name, "")
    elif schema.owner and work.real_role(schema.owner) != work.real_role(actual):
        alter = Statement("ALTER SCHEMA {} OWNER TO {}", name, Identifier(schema.owner))
        give = partial(
            effects_databases.give_schema, database=work.database, name=schema.name, before=actual, owner=schema.owner
        )
        work.add(
            Action.ALTER,
            target,
            alter,
            roles=(actual, schema.owner),
            before=actual,
            after=schema.owner,
            destructive=True,
            effect=give,
        )
        work.differs(f"schemas.{schema.name}.owner", schema.owner, actual, destructive=True)


def _plan_absent(schema: Schema, desired: DesiredDatabase, work: Work) -> None:
    # Extensions that are declared are gone or elsewhere by then: one that is to be here was refused.
    leaving = {f"extension {one.name}" for one in desired.extensions if not one.present or one.schema}
    content = [what for what in work.content.schema_content.get(schema.name, ()) if what not in leaving]
    if content and not schema.cascade:
        shown = ", ".join(content[:_SHOWN]) + (", ..." if len(content) > _SHOWN else "")
        raise DbopsError(
            Reason.BLOCKED,
            f"schema {schema.name} of database {work.database} is not empty: {shown}; drop that first, "
            "or declare cascade to drop it with the schema",
            field="schemas",
        )
    template = "DROP SCHEMA {} CASCADE" if schema.cascade else "DROP SCHEMA {}"
    owner = work.content.schemas[schema.name]
    statement = Statement(template, Identifier(schema.name))
    effect = partial(effects_databases.drop_schema, database=work.database, name=schema.name, owner=owner)
    work.add(
        Action.DROP,
        f"schema {schema.name}",
        statement,
        roles=(owner,),
        before=owner,
        destructive=True,
        effect=effect,
    )
    work.differs("schemas.extra", "", schema.name, destructive=True)
