# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of a database's extensions: install, change the version or the schema, remove when asked.

Called by database_content.py; pure. What the files on the server do not offer, or what takes a superuser, is said
before anything is sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase, Extension
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Literal,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_databases
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import state as observed
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_work import Work

_SHOWN = 8
"""How many names or versions a message lists."""


def plan_extensions(desired: DesiredDatabase, work: Work) -> None:
    """Add to WORK what the declared extensions need; others are left alone."""
    schemas = {*work.content.schemas, *work.declared_schemas}
    for extension in desired.extensions:
        if not extension.present:
            _plan_removal(extension, work)
    declared = {one.name: one for one in desired.extensions if one.present}
    for extension in _required_first(declared, work):
        installed = work.content.extensions.get(extension.name)
        if installed is None:
            _plan_installation(extension, declared, schemas, work)
        else:
            _plan_version(extension, installed, work)
            _plan_schema(extension, installed, schemas, work)


def _required_first(declared: Mapping[str, Extension], work: Work) -> Iterator[Extension]:
    """Give the DECLARED extensions so that what one requires comes before it."""
    given: set[str] = set()

    def visit(extension: Extension) -> Iterator[Extension]:
        if extension.name in given:
            return
        given.add(extension.name)
        available = (work.state.extensions or {}).get(extension.name)
        version = available.versions.get(extension.version or available.default_version) if available else None
        for name in version.requires if version else ():
            if name in declared:
                yield from visit(declared[name])
        yield extension

    for extension in declared.values():
        yield from visit(extension)


def _plan_removal(extension: Extension, work: Work) -> None:
    installed = work.content.extensions.get(extension.name)
    if installed is None:
        return
    template = "DROP EXTENSION {} CASCADE" if extension.cascade else "DROP EXTENSION {}"
    statement = Statement(template, Identifier(extension.name))
    target = f"extension {extension.name}"
    work.add(
        Action.DROP,
        target,
        statement,
        roles=(installed.owner,),
        before=installed.version,
        destructive=True,
        effect=_effect(extension.name, None, work),
    )
    work.differs("extensions.extra", "", extension.name, destructive=True)


def _plan_installation(extension: Extension, declared: Mapping[str, Extension], schemas: set[str], work: Work) -> None:
    available = _available(extension.name, work)
    version = _version(extension, available)
    _require_rights(extension.name, version, work)
    for required in version.requires:
        _require_other(required, extension, declared, work)
    clauses: list[Part] = []
    schema = _schema_for(extension, version, schemas)
    if schema:
        clauses.append(Statement("SCHEMA {}", Identifier(schema)))
    if extension.version:
        clauses.append(Statement("VERSION {}", Literal(extension.version)))
    if extension.cascade:
        clauses.append(Statement("CASCADE"))
    statement = Statement("CREATE EXTENSION {}", Identifier(extension.name))
    if clauses:
        statement = Statement("CREATE EXTENSION {} {}", Identifier(extension.name), Joined(clauses, " "))
    target = f"extension {extension.name}"
    after = extension.version or available.default_version
    made = observed.Extension(after, schema or version.schema or "", work.state.facts.admin.name)
    roles, effect = _creators(schema, version, work), _effect(extension.name, made, work)
    work.add(Action.CREATE, target, statement, roles=roles, after=after, effect=effect)
    work.differs("extensions.missing", extension.name, "")


def _schema_for(extension: Extension, version: observed.ExtensionVersion, schemas: set[str]) -> str | None:
    """Give the schema to name, None where the extension itself says it. We have no search_path that could."""
    if version.schema:
        if extension.schema and extension.schema != version.schema:
            raise DbopsError(
                Reason.INVALID_SPEC,
                f"extension {extension.name} can only be in schema {version.schema}, not in {extension.schema}",
                field="extensions",
            )
        return None
    schema = extension.schema or "public"
    _require_schema(extension.name, schema, schemas)
    return schema


def _require_schema(extension: str, schema: str, schemas: set[str]) -> None:
    if schema not in schemas:
        raise DbopsError(
            Reason.DEPENDENCY_NOT_READY,
            f"schema {schema} for extension {extension} does not exist; declare it in schemas",
            field="extensions",
        )


def _creators(schema: str | None, version: observed.ExtensionVersion, work: Work) -> tuple[str, ...]:
    # The script of a trusted extension runs as superuser; that of a harmless one needs CREATE on the schema.
    owner = work.content.schemas.get(schema or "")
    return (owner,) if owner and schema != "public" and not version.superuser else ()


def _plan_version(extension: Extension, installed: observed.Extension, work: Work) -> None:
    if not extension.version or extension.version == installed.version:
        return
    version = _version(extension, _available(extension.name, work))
    _require_rights(extension.name, version, work)
    statement = Statement("ALTER EXTENSION {} UPDATE TO {}", Identifier(extension.name), Literal(extension.version))
    work.add(
        Action.ALTER,
        f"extension {extension.name}",
        statement,
        roles=(installed.owner,),
        before=installed.version,
        after=extension.version,
        effect=_effect(extension.name, replace(installed, version=extension.version), work),
    )
    work.differs(f"extensions.{extension.name}.version", extension.version, installed.version)


def _plan_schema(extension: Extension, installed: observed.Extension, schemas: set[str], work: Work) -> None:
    if not extension.schema or extension.schema == installed.schema:
        return
    name = f"extensions.{extension.name}.schema"
    if not installed.relocatable:
        work.plan.differences.append(Difference(name, extension.schema, installed.schema, immutable=True))
        work.plan.refusal = DbopsError(
            Reason.IMMUTABLE_FIELD,
            f"extension {extension.name} is in schema {installed.schema} and cannot be moved to {extension.schema}; "
            "declare where it is, or remove it and install it anew",
            field="extensions",
        )
        return
    _require_schema(extension.name, extension.schema, schemas)
    available = (work.state.extensions or {}).get(extension.name)
    version = available.versions.get(installed.version) if available else None
    admin = work.state.facts.admin
    if not admin.superuser and (version is None or version.superuser):
        # Its objects belong to the bootstrap superuser, also those of a trusted extension.
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"{admin.name} may not move extension {extension.name} to another schema: that takes a superuser",
            field="extensions",
        )
    statement = Statement("ALTER EXTENSION {} SET SCHEMA {}", Identifier(extension.name), Identifier(extension.schema))
    owner = work.content.schemas.get(extension.schema)
    work.add(
        Action.ALTER,
        f"extension {extension.name}",
        statement,
        roles=(installed.owner, *((owner,) if owner else ())),
        before=installed.schema,
        after=extension.schema,
        effect=_effect(extension.name, replace(installed, schema=extension.schema), work),
    )
    work.differs(name, extension.schema, installed.schema)


def _effect(name: str, extension: observed.Extension | None, work: Work) -> Callable[[observed.ServerState], None]:
    return partial(effects_databases.set_extension, database=work.database, name=name, extension=extension)


def _available(name: str, work: Work) -> observed.AvailableExtension:
    there = work.state.extensions or {}
    if name in there:
        return there[name]
    close = difflib.get_close_matches(name, there, n=_SHOWN) or sorted(there)[:_SHOWN]
    more = "" if len(close) == len(there) else ", ..."
    raise DbopsError(
        Reason.INVALID_SPEC,
        f"extension {name} is not available on this server (its files are not installed); "
        f"there are: {', '.join(close)}{more}",
        field="extensions",
    )


def _version(extension: Extension, available: observed.AvailableExtension) -> observed.ExtensionVersion:
    wanted = extension.version or available.default_version
    if wanted in available.versions:
        return available.versions[wanted]
    newest = sorted(available.versions, reverse=True)
    more = ", ..." if len(newest) > _SHOWN else ""
    raise DbopsError(
        Reason.INVALID_SPEC,
        f"extension {extension.name} is not available in version {wanted}; "
        f"there are: {', '.join(newest[:_SHOWN])}{more}",
        field="extensions",
    )


def _require_rights(name: str, version: observed.ExtensionVersion, work: Work) -> None:
    admin = work.state.facts.admin
    if version.superuser and not version.trusted and not admin.superuser:
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"extension {name} is not trusted, so {admin.name} may not install or update it: that takes a superuser",
            field="extensions",
        )


def _require_other(name: str, extension: Extension, declared: Mapping[str, Extension], work: Work) -> None:
    """Check an extension that another one requires: it is there, or comes with it."""
    if name in work.content.extensions or name in declared:
        return
    if not extension.cascade:
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"extension {extension.name} requires extension {name}; declare that as well, or cascade",
            field="extensions",
        )
    available = _available(name, work)
    version = available.versions[available.default_version]
    _require_rights(name, version, work)
    for required in version.requires:
        _require_other(required, extension, declared, work)
