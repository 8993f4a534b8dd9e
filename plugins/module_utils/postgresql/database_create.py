# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of a database that does not exist yet, with what its template brings along.

Called by database.py; pure. What can be known of why the server would refuse is said before anything is tried.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Literal,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_databases, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as, acts_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_content import (
    declares_content,
    plan_content,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.encodings import (
    encoding_name,
    encoding_of_locale,
    same_locale,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Database,
    DatabaseContent,
    Extension,
    ServerState,
    Sessions,
)


def plan_create(desired: DesiredDatabase, state: ServerState) -> Plan:
    """Plan a new database and everything declared in it."""
    admin = state.facts.admin
    if not (admin.superuser or admin.create_db):
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"{admin.name} may not create databases; a superuser can allow it: "
            f"ALTER ROLE {quoted(admin.name)} CREATEDB",
        )
    if desired.owner:
        check_owner(desired.owner, state, field="owner")
    template = _template(desired, state)
    options = _locale_options(desired, template)
    if desired.tablespace and desired.tablespace != template.tablespace:
        # Declared as the template has it, it takes no privilege if left out, but CREATE on it if written down.
        check_tablespace(desired.tablespace, state)
        options.append(Statement("TABLESPACE {}", Identifier(desired.tablespace)))
    owner = desired.owner or admin.name
    later = _settings(desired, options, at_once=not declares_content(desired))
    steps: list[Step] = []
    if desired.owner and acts_as(desired.owner, state):
        options.insert(0, Statement("OWNER {}", Identifier(desired.owner)))
    elif desired.owner:
        # The membership is taken, used and put back in one transaction, which CREATE DATABASE cannot be part of.
        give = Statement("ALTER DATABASE {} OWNER TO {}", Identifier(desired.name), Identifier(desired.owner))
        effect = partial(effects_databases.give, name=desired.name, owner=desired.owner)
        step = Step(
            Action.ALTER, f"database {desired.name}", give, before=admin.name, after=desired.owner, effect=effect
        )
        steps = acting_as([desired.owner], [step], state)
    plan = Plan(creates=True, differences=[Difference("exists", "true", "false")])
    # What the steps after it say is then a guess.
    unknown = declares_content(desired) and template.content is None and template.name != "template0"
    content = template.content or _empty_content(template, state)
    # The owner may come later, as may what would keep us out.
    made = replace(_made(desired, template), owner=admin.name if steps else owner, content=content)
    if declares_content(desired):
        made = replace(made, allow_connections=True, connection_limit=made.connection_limit or -1)
    plan.steps = [_create_step(desired, options, made, template.name, look_again=unknown), *steps]
    if declares_content(desired):
        plan_content(desired, database_owner=owner, content=content, state=state, memory={}, plan=plan)
    plan.steps += acting_as([owner], later, state)
    return plan


def check_owner(role: str, state: ServerState, *, field: str) -> None:
    """Raise DependencyNotReady for a role that does not exist."""
    if role not in state.role_names:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"role {role} does not exist", field=field)


def check_tablespace(name: str, state: ServerState) -> None:
    """Raise InvalidSpec for a tablespace that does not exist, PrivilegeMissing for one that is closed to us."""
    if name not in state.tablespaces:
        there = ", ".join(sorted(set(state.tablespaces) - {"pg_global"}))
        message = f"tablespace {name} does not exist; there are: {there}"
        raise DbopsError(Reason.INVALID_SPEC, message, field="tablespace")
    if not state.tablespaces[name]:
        admin = quoted(state.facts.admin.name)
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"{state.facts.admin.name} may not create anything in tablespace {name}; its owner can allow it: "
            f"GRANT CREATE ON TABLESPACE {quoted(name)} TO {admin}",
            field="tablespace",
        )


def _template(desired: DesiredDatabase, state: ServerState) -> Database:
    name = desired.template or "template1"
    template = state.databases.get(name)
    if template is None:
        message = f"template {name} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, message, field="template")
    if not template.is_template and not acts_as(template.owner, state):
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"{state.facts.admin.name} may not copy database {name}: it is no template, and belongs to "
            f"{template.owner}; its owner can allow it: ALTER DATABASE {quoted(name)} IS_TEMPLATE true",
            field="template",
        )
    return template


def _locale_options(desired: DesiredDatabase, template: Database) -> list[Part]:
    """Give ENCODING, LC_COLLATE and LC_CTYPE where declared; a copy must have those of its template."""
    options: list[Part] = []
    copied = template.name != "template0"
    encoding = (desired.encoding and encoding_name(desired.encoding)) or template.encoding
    ctype = desired.lc_ctype or template.lc_ctype
    needed = encoding_of_locale(ctype)
    if needed and encoding not in (needed, "SQL_ASCII"):
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"encoding {encoding} does not go with lc_ctype {ctype}, which needs {needed}; declare another lc_ctype, "
            "C goes with every encoding",
            field="lc_ctype" if desired.lc_ctype else "encoding",
        )
    same = encoding == template.encoding
    if not same:
        _refuse_copy(copied, template, "encoding", encoding, template.encoding)
    if desired.encoding and not (copied and same):
        options.append(Statement("ENCODING {}", Literal(encoding)))
    for option, clause, wanted, actual in (
        ("lc_collate", "LC_COLLATE {}", desired.lc_collate, template.lc_collate),
        ("lc_ctype", "LC_CTYPE {}", desired.lc_ctype, template.lc_ctype),
    ):
        if not wanted:
            continue
        if not same_locale(wanted, actual):
            _refuse_copy(copied, template, option, wanted, actual)
            options.append(Statement(clause, Literal(wanted)))
    if copied or desired.template:
        options.insert(0, Statement("TEMPLATE {}", Identifier(template.name)))
    return options


def _refuse_copy(copied: bool, template: Database, option: str, wanted: str, actual: str) -> None:
    if copied:
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"{option} {wanted} cannot be had in a copy of {template.name}, which has {actual}; "
            "only a copy of template0 can: declare template: template0",
            field=option,
        )


def _settings(desired: DesiredDatabase, options: list[Part], *, at_once: bool) -> list[Step]:
    """Put settings into OPTIONS; give as later steps what would shut us out before the content is there."""
    later: list[Step] = []
    target, name = f"database {desired.name}", Identifier(desired.name)
    if desired.is_template:
        options.append(Statement("IS_TEMPLATE TRUE"))
    if desired.connection_limit not in (None, -1):
        limit = Literal(desired.connection_limit)
        if at_once or desired.connection_limit != 0:
            options.append(Statement("CONNECTION LIMIT {}", limit))
        else:
            statement = Statement("ALTER DATABASE {} CONNECTION LIMIT {}", name, limit)
            effect = partial(effects_databases.alter, name=desired.name, options={"connection_limit": 0})
            later.append(Step(Action.ALTER, target, statement, before=-1, after=0, effect=effect))
    if desired.allow_connections is False:
        if at_once:
            options.append(Statement("ALLOW_CONNECTIONS FALSE"))
        else:
            statement = Statement("ALTER DATABASE {} ALLOW_CONNECTIONS {}", name, Keyword("FALSE"))
            effect = partial(effects_databases.alter, name=desired.name, options={"allow_connections": False})
            later.append(Step(Action.ALTER, target, statement, before=True, after=False, effect=effect))
    return later


def _made(desired: DesiredDatabase, template: Database) -> Database:
    """Give the database as it will be observed."""
    return replace(
        template,
        name=desired.name,
        encoding=encoding_name(desired.encoding or "") or template.encoding,
        lc_collate=desired.lc_collate or template.lc_collate,
        lc_ctype=desired.lc_ctype or template.lc_ctype,
        tablespace=desired.tablespace or template.tablespace,
        connection_limit=-1 if desired.connection_limit is None else desired.connection_limit,
        is_template=bool(desired.is_template),
        allow_connections=desired.allow_connections is not False,
        size_bytes=None,
        sessions=Sessions(),
        content_problem=None,
        oid=0,
    )


def _create_step(
    desired: DesiredDatabase, options: list[Part], made: Database, template: str, *, look_again: bool
) -> Step:
    statement = Statement("CREATE DATABASE {}", Identifier(desired.name))
    if options:
        statement = Statement("CREATE DATABASE {} {}", Identifier(desired.name), Joined(options, " "))
    target = f"database {desired.name}"
    return Step(
        Action.CREATE,
        target,
        statement,
        after=desired.name,
        transactional=False,
        look_again=look_again,
        effect=partial(effects_databases.make, database=made, template=template),
    )


def _empty_content(template: Database, state: ServerState) -> DatabaseContent:
    """What initdb puts into template0 and template1."""
    modern = versions.has(versions.PUBLIC_OF_DATABASE_OWNER, state.facts.version_number)
    return DatabaseContent(
        extensions={"plpgsql": Extension("1.0", "pg_catalog", template.owner, relocatable=False)},
        schemas={"public": "pg_database_owner" if modern else template.owner},
    )
