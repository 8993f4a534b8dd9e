# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a database as a whole and is in no dump of it: locale, privileges, settings, limits, comment.

Called by place.py: a fresh database is made with the locale of the manifest, and gets the rest from the database that
it replaces. https://www.postgresql.org/docs/current/sql-createdatabase.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Keyword,
    Literal,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import settings, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

_LOCALE = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype, {provider}, {locale} FROM pg_database
WHERE datname = current_database()
"""
_BUILTIN = 170000
_PROVIDERS = {"c": "LIBC", "i": "ICU", "b": "BUILTIN"}
_PRIVILEGES = """
SELECT a.grantee <> 0, coalesce(r.rolname, ''), a.privilege_type, a.is_grantable
FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s AND a.grantee <> d.datdba
"""
_LIMIT_AND_COMMENT = """
SELECT datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s
"""
_SETTINGS = """
SELECT s.setrole <> 0, coalesce(r.rolname, ''), unnest(s.setconfig)
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE d.datname = %s
"""


def locale_query(version_number: int) -> str:
    """Give the query for encoding, collation, character type, provider and the provider's locale."""
    provider = "datlocprovider" if versions.has(versions.DATABASE_LOCALE_PROVIDER, version_number) else "'c'"
    locale = "NULL"
    if version_number >= _BUILTIN:
        locale = "datlocale"
    elif versions.has(versions.DATABASE_LOCALE_PROVIDER, version_number):
        locale = "daticulocale"
    return _LOCALE.format(provider=provider, locale=locale)


def recorded(row: tuple[Any, ...]) -> dict[str, str]:
    """Give a row of `locale_query` as the manifest keeps it."""
    names = ("encoding", "lc_collate", "lc_ctype", "locale_provider", "locale")
    return {name: str(value) for name, value in zip(names, row, strict=True) if value is not None}


def locale(noted: Mapping[str, str], version_number: int) -> Iterator[Statement]:
    """Give the parts of CREATE DATABASE for what `recorded` gave; nothing recorded, nothing said."""
    if not noted:
        return
    if missing := {"encoding", "lc_collate", "lc_ctype"} - set(noted):
        text = f"the manifest does not tell the database's {', '.join(sorted(missing))}"
        raise DbopsError(Reason.NOT_VERIFIABLE, text, field="backup")
    yield Statement("ENCODING {}", Literal(noted["encoding"]))
    yield Statement("LC_COLLATE {}", Literal(noted["lc_collate"]))
    yield Statement("LC_CTYPE {}", Literal(noted["lc_ctype"]))
    provider = noted.get("locale_provider", "c")
    if provider not in _PROVIDERS:
        raise DbopsError(Reason.NOT_VERIFIABLE, f"the manifest names an unknown locale provider {provider!r}")
    if provider != "c" and versions.has(versions.DATABASE_LOCALE_PROVIDER, version_number):
        yield Statement("LOCALE_PROVIDER {}", Keyword(_PROVIDERS[provider]))
        name = "ICU_LOCALE {}" if provider == "i" else "BUILTIN_LOCALE {}"
        yield Statement(name, Literal(noted.get("locale", "")))


def copied(server: Server, source: str, target: str) -> Iterator[Statement]:
    """Give what makes TARGET what SOURCE is as a whole: privileges, connection limit, comment, settings."""
    name = Identifier(target)
    yield Statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    for is_role, role, privilege, grantable in server.main.rows(_PRIVILEGES, [source]):
        grantee = Statement("{}", Identifier(role)) if is_role else Statement("PUBLIC")
        option = Statement(" WITH GRANT OPTION") if grantable else Statement("")
        yield Statement("GRANT {} ON DATABASE {} TO {}{}", Keyword(privilege), name, grantee, option)
    ((limit, comment),) = server.main.rows(_LIMIT_AND_COMMENT, [source])
    if limit != -1:
        yield Statement("ALTER DATABASE {} CONNECTION LIMIT {}", name, Literal(limit))
    if comment is not None:
        yield Statement("COMMENT ON DATABASE {} IS {}", name, Literal(comment))
    for is_role, role, setting in server.main.rows(_SETTINGS, [source]):
        parameter, value = str(setting).split("=", 1)
        whose = Statement("ALTER ROLE {} IN DATABASE {}", Identifier(role), name) if is_role else None
        whose = whose or Statement("ALTER DATABASE {}", name)
        yield Statement("{} SET {} TO {}", whose, settings.parameter(parameter), settings.value_of(parameter, value))
