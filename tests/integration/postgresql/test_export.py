# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that others built is exported; the export declares just what is there, and makes the same elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.export import export
from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

# By hand, as somebody who never heard of us would.
ROLES = (
    "CREATE ROLE readers",
    'CREATE ROLE "Über ""alle"" 100%" NOINHERIT',
    "CREATE ROLE writers IN ROLE readers",
    "CREATE ROLE shop_owner CREATEDB",
    "CREATE ROLE app LOGIN PASSWORD 'x' IN ROLE writers",
    "CREATE ROLE reports LOGIN NOINHERIT CONNECTION LIMIT 3 VALID UNTIL '2040-01-31 00:00:00+02' IN ROLE readers",
    "ALTER ROLE reports SET search_path = \"$user\", 'Odd, schema', public",
    "ALTER ROLE reports SET app.tenant = 'a=b'",
    "ALTER ROLE reports SET role = 'readers'",
    "CREATE ROLE replicator LOGIN REPLICATION BYPASSRLS",
    'CREATE ROLE "it\'s me" LOGIN',
    "GRANT pg_monitor TO replicator",
)
DATABASES = (
    "CREATE DATABASE shop OWNER shop_owner CONNECTION LIMIT 50",
    "CREATE DATABASE \"Lager 'Nord' %\" OWNER app ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    "CREATE DATABASE plain",
    "CREATE DATABASE model IS_TEMPLATE true OWNER shop_owner",
    "CREATE DATABASE shut ALLOW_CONNECTIONS false",
    "GRANT CONNECT, CREATE ON DATABASE shop TO writers",
    "GRANT CONNECT ON DATABASE shop TO reports WITH GRANT OPTION",
    "GRANT TEMPORARY ON DATABASE plain TO readers",
)
DATA = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public",
    "CREATE TABLE app.orders (id int, note text, total numeric)",
    'CREATE TABLE app."Odd, ""table"" *" ("Spalte ß" int)',
    "CREATE VIEW app.recent AS SELECT * FROM app.orders",
    "CREATE SEQUENCE app.numbers",
    "CREATE TABLE public.settings (name text)",
    "CREATE TYPE app.mood AS ENUM ('good')",
    "CREATE FUNCTION app.total(int) RETURNS int LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION app.total(text, int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION app.feel(app.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE PROCEDURE app.close(IN id int, OUT done bool) LANGUAGE plpgsql AS 'BEGIN done := true; END'",
    "ALTER TABLE app.orders OWNER TO shop_owner",
)
"""What no list declares; made on either server before grants."""
SCHEMAS = (
    "CREATE SCHEMA app AUTHORIZATION shop_owner",
    'CREATE SCHEMA "Odd, schema" AUTHORIZATION app',
    "CREATE SCHEMA nobodys",
    "CREATE EXTENSION hstore SCHEMA nobodys",
)
GRANTS = (
    'GRANT USAGE ON SCHEMA app TO readers, reports, "it\'s me"',
    "GRANT CREATE ON SCHEMA app TO readers",
    "GRANT USAGE ON SCHEMA app TO app WITH GRANT OPTION",
    'GRANT USAGE, CREATE ON SCHEMA "Odd, schema" TO "Über ""alle"" 100%"',
    "GRANT SELECT ON app.orders, app.recent TO readers",
    "GRANT ALL ON app.orders TO app",
    "GRANT SELECT, UPDATE ON app.orders TO reports WITH GRANT OPTION",
    "GRANT INSERT ON app.orders TO reports",
    'GRANT SELECT ON app."Odd, ""table"" *" TO "it\'s me"',
    'GRANT UPDATE ("Spalte ß") ON app."Odd, ""table"" *" TO "it\'s me"',
    'GRANT SELECT (id, note), UPDATE (note) ON app.orders TO "it\'s me"',
    "GRANT USAGE, SELECT ON SEQUENCE app.numbers TO app",
    "GRANT EXECUTE ON FUNCTION app.total(text, int[]), app.feel(app.mood) TO app",
    "GRANT EXECUTE ON PROCEDURE app.close(int) TO app",
    "GRANT SELECT ON public.settings TO readers, app",
    "GRANT SELECT ON public.settings TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA app GRANT SELECT ON TABLES TO readers",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA app GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA app GRANT USAGE, SELECT ON SEQUENCES TO readers",
)


def send(server: PostgreSQLServer, *statements: str, dbname: str = "postgres") -> None:
    """Send statements as superuser."""
    with psycopg.connect(server.admin.dsn(dbname), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture(scope="module")
def foreign() -> Iterator[PostgreSQLServer]:
    """A server that was built by hand."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        send(server, *ROLES, *DATABASES)
        send(server, *SCHEMAS, *DATA, *GRANTS, dbname="shop")
        send(server, "DROP SCHEMA public", dbname="plain")
        yield server


@pytest.fixture(scope="module")
def foreign_weak(foreign: PostgreSQLServer) -> Login:
    """The admin of a managed cloud on that server."""
    return foreign.weak_admin()


@pytest.fixture(params=["superuser", "weak admin"])
def exporting(request: pytest.FixtureRequest, foreign: PostgreSQLServer, foreign_weak: Login) -> Engine:
    """The engine on that server as each of the two kinds of admin accounts."""
    return Engine(foreign, foreign.admin if request.param == "superuser" else foreign_weak)


def exported(engine: Engine, **chosen: Any) -> dict[str, Any]:
    return export({"connection": engine.options, **chosen})


@pytest.mark.feature("A07")
def test_the_plan_of_an_export_is_empty(exporting: Engine) -> None:
    before = exporting.snapshot()
    found = exported(exporting)
    document = exporting.run(*found["objects"], check=True)
    assert not document["failed"], [one for one in document["objects"] if one["failed"]]
    assert [one for one in document["objects"] if one["steps"] or one["differences"]] == []
    assert not document["changed"]
    assert exporting.snapshot() == before
