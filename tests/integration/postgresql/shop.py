# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with something of every kind in it that can be granted, for the tests of grants and of access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from integration.postgresql.engine import Engine, role
from psycopg import sql

_OBJECTS = (
    "CREATE TABLE app.orders (id int, note text, total numeric)",
    "CREATE TABLE app.items (id int) PARTITION BY RANGE (id)",
    "CREATE TABLE app.items_1 PARTITION OF app.items DEFAULT",
    "CREATE VIEW app.recent AS SELECT * FROM app.orders",
    "CREATE MATERIALIZED VIEW app.sums AS SELECT 1 AS one",
    "CREATE SEQUENCE app.numbers",
    "CREATE FUNCTION app.total(int) RETURNS int LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION app.total(text, int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE PROCEDURE app.close(IN id int, OUT done bool) LANGUAGE plpgsql AS 'BEGIN done := true; END'",
    "CREATE AGGREGATE app.least_of(int) (SFUNC = int4smaller, STYPE = int)",
    "REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA app FROM PUBLIC",
    "INSERT INTO app.orders VALUES (1, 'first', 10)",
)


@dataclass(frozen=True)
class Shop:
    """The database NAME with the schema app, both of the role OWNER."""

    engine: Engine
    name: str
    owner: str

    def execute(self, *statements: str, as_role: str | None = None, **names: str) -> None:
        """Run statements in one session of a superuser, who acts as a role if one is named."""
        quoted = {key: sql.Identifier(name) for key, name in names.items()}
        with psycopg.connect(self.engine.server.admin.dsn(self.name), autocommit=True) as connection:
            if as_role:
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(as_role)))
            for statement in statements:
                connection.execute(sql.SQL(statement).format(**quoted))  # type: ignore[arg-type]

    def entries(self, grantee: str) -> set[tuple[str, str, str, bool]]:
        """What the catalogs list for a role: object (with its column), privilege, grantor, and whether grantable."""
        found = self.engine.server.query(_ENTRIES, {"grantee": grantee}, dbname=self.name)
        return {tuple(row) for row in found}  # type: ignore[misc]

    def held(self, grantee: str) -> set[str]:
        """The same as short text: `SELECT app.orders`, with a `*` behind what may be passed on."""
        return {f"{word} {what}{'*' if option else ''}" for what, word, _ignored, option in self.entries(grantee)}

    def may(self, login: str, statement: str, password: str = "x") -> bool:
        """Whether a login may run STATEMENT; nothing of it stays."""
        with psycopg.connect(self.engine.server.login(login, password).dsn(self.name)) as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                return False
            finally:
                connection.rollback()
        return True

    def entry(self, *privileges: str, **options: Any) -> dict[str, Any]:
        """Declare one entry of `grants` in this database."""
        return {"database": self.name, "privileges": list(privileges), **options}


def make_shop(engine: Engine, unique: Callable[[str], str]) -> Shop:
    """Make the database through the engine, so that its owner is one that the admin account administers."""
    shop = Shop(engine, unique("shop"), unique("own"))
    database = {"kind": "database", "name": shop.name, "owner": shop.owner}
    made = engine.run(role(shop.owner), database | {"schemas": [{"name": "app", "owner": shop.owner}]})
    assert not made["failed"], made
    shop.execute(*_OBJECTS, as_role=shop.owner)
    engine.inside.append(shop.name)
    return shop


_ENTRIES = """
WITH acls AS (
    SELECT 'database ' || datname AS what, datacl AS acl FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'schema ' || nspname, nspacl FROM pg_namespace
    UNION ALL SELECT n.nspname || '.' || c.relname, c.relacl
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL SELECT n.nspname || '.' || c.relname || '.' || a.attname, a.attacl
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL SELECT n.nspname || '.' || p.proname || '(' || oidvectortypes(p.proargtypes) || ')', p.proacl
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
)
SELECT what, x.privilege_type, pg_get_userbyid(x.grantor)::text, x.is_grantable
FROM acls CROSS JOIN LATERAL aclexplode(acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
WHERE coalesce(g.rolname, 'public') = %(grantee)s
"""
