# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a declared database whatever is on the server, and which databases are never touched.

Called by database.py before anything is compared; pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.encodings import encoding_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState

LEDGER = "dbops"
SYSTEM = frozenset({"postgres", "template0", "template1"})
_MAX_INT = 2**31 - 1


def check_options(desired: DesiredDatabase) -> None:
    """Refuse with InvalidSpec what no server could do."""
    for name, field in _names(desired):
        check_name(name, field=field)
    if desired.name == LEDGER:
        _refuse(f"database {LEDGER} keeps the records of who owns what; it cannot be declared", "name")
    if desired.present and desired.name == "template0":
        _refuse("template0 is the server's unchanged template; it cannot be declared", "name")
    if desired.present and desired.owner_record and desired.name in SYSTEM:
        _refuse(f"database {desired.name} belongs to the server itself; it cannot be owned by a declaration", "name")
    limit = desired.connection_limit
    if limit is not None and not -1 <= limit <= _MAX_INT:
        _refuse(f"connection_limit {limit} is not between -1 (none) and {_MAX_INT}", "connection_limit")
    if desired.encoding and not encoding_name(desired.encoding):
        _refuse(f"{desired.encoding!r} is no encoding that a database can have", "encoding")
    if desired.tablespace == "pg_global":
        _refuse("tablespace pg_global is for what all databases share", "tablespace")
    _check_schemas(desired)
    _once((extension.name for extension in desired.extensions), "extensions")


def refuse_dropping(name: str, state: ServerState) -> None:
    """Refuse with InvalidSpec to drop what the server or we ourselves need, whatever was declared."""
    if name in SYSTEM:
        _refuse(f"database {name} belongs to the server itself; it is never dropped", "name")
    if name in (state.facts.database, state.facts.admin_database):
        _refuse(f"database {name} is the one that the admin account connects to; it is never dropped", "name")


def _names(desired: DesiredDatabase) -> Iterator[tuple[str, str]]:
    yield desired.name, "name"
    for field in ("owner", "template", "tablespace"):
        value = getattr(desired, field)
        if value is not None:
            yield value, field
    for extension in desired.extensions:
        yield extension.name, "extensions"
        if extension.schema is not None:
            yield extension.schema, "extensions"
    for schema in desired.schemas:
        yield schema.name, "schemas"
        if schema.owner is not None:
            yield schema.owner, "schemas"
    for privilege in desired.default_privileges or ():
        yield privilege.role, "default_privileges"
        yield privilege.schema, "default_privileges"
        if privilege.granted_by is not None:
            yield privilege.granted_by, "default_privileges"


def _check_schemas(desired: DesiredDatabase) -> None:
    for schema in desired.schemas:
        if schema.name.startswith("pg_") or schema.name == "information_schema":
            _refuse(f"schema {schema.name} belongs to the server itself; it cannot be declared", "schemas")
    _once((schema.name for schema in desired.schemas), "schemas")
    going = {schema.name for schema in desired.schemas if not schema.present}
    for extension in desired.extensions:
        if extension.present and extension.schema in going:
            _refuse(f"extension {extension.name} is declared in schema {extension.schema}, which is to go", "schemas")
    for privilege in desired.default_privileges or ():
        if privilege.schema in going:
            _refuse(f"default privileges are declared in schema {privilege.schema}, which is to go", "schemas")


def _once(names: Iterable[str], field: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            _refuse(f"{name} is declared twice in {field}", field)
        seen.add(name)


def _refuse(message: str, field: str) -> None:
    raise DbopsError(Reason.INVALID_SPEC, message, field=field)
