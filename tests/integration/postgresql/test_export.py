# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that others built is exported; the export declares just what is there, and makes the same elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from _pytest.mark.structures import ParameterSet
from exported import operator_objects
from integration.postgresql.engine import Engine

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.export import export
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.manifests import manifests
from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls, installed

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
    "GRANT REFERENCES (id) ON app.orders TO readers",
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


def versions() -> list[ParameterSet]:
    """All that are on this machine; those that other tests do not use anyway are slow."""
    usual = embedded_with_tls().version
    return [
        pytest.param(one, id=f"{one.name}-{one.version}", marks=() if one.version == usual else pytest.mark.slow)
        for one in installed()
    ]


@pytest.fixture(scope="module", params=versions())
def foreign(request: pytest.FixtureRequest) -> Iterator[PostgreSQLServer]:
    """A server that was built by hand."""
    with PostgreSQLServer(request.param) as server:
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
    grantees = {one.get("user") or one["role"] for one in found["objects"] if one["kind"] == "database_grant"}
    assert grantees >= {"PUBLIC", "app", "it's me", "readers", "reports", "writers", 'Über "alle" 100%'}
    document = exporting.run(*found["objects"], check=True)
    assert not document["failed"], [one for one in document["objects"] if one["failed"]]
    assert [one for one in document["objects"] if one["steps"] or one["differences"]] == []
    assert not document["changed"]
    assert exporting.snapshot() == before


@pytest.mark.feature("A07")
def test_an_export_makes_the_same_server_again(foreign: PostgreSQLServer) -> None:
    """Passwords and data definitions aside, which are no part of it."""
    found = exported(Engine(foreign, foreign.admin))
    accounts_and_databases = [one for one in found["objects"] if one["kind"] != "database_grant"]
    with PostgreSQLServer(foreign.binaries) as empty:
        engine = Engine(empty, empty.admin)
        assert not engine.run(*accounts_and_databases)["failed"]
        send(empty, *DATA, dbname="shop")
        made = engine.run(*found["objects"])
        assert not made["failed"], [one for one in made["objects"] if one["failed"]]
        for name in ("postgres", "shop", "plain", "model", "Lager 'Nord' %"):
            without = foreign.weak_admin().user
            assert dump(empty, name, without) == dump(foreign, name, without)
        assert [one for one in exported(engine)["objects"] if one["kind"] != "database_grant"] == accounts_and_databases


_DUMP = """
SELECT 'role', (to_jsonb(r) - 'oid')::text FROM pg_roles r WHERE rolname !~ '^pg_' AND rolname <> 'postgres'
  AND rolname <> ALL(%(without)s)
UNION ALL SELECT 'member', concat_ws(' ', m.member::regrole, m.roleid::regrole,
    to_jsonb(m) - '{oid,roleid,member}'::text[])
  FROM pg_auth_members m WHERE m.member >= 16384 AND m.member::regrole::text <> ALL(%(without)s)
  AND m.roleid::regrole::text <> ALL(%(without)s)
UNION ALL SELECT 'database', concat_ws(' ', datname, datdba::regrole, encoding, datcollate, datctype, datconnlimit,
  datistemplate, datallowconn) FROM pg_database WHERE datname <> 'dbops'
UNION ALL SELECT 'schema', concat_ws(' ', nspname, nspowner::regrole) FROM pg_namespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'schema', concat_ws(' ', r.rolname, p, n.nspname) FROM pg_roles r, pg_namespace n,
  unnest('{USAGE,CREATE}'::text[]) p
  WHERE r.rolname <> ALL(%(without)s) AND n.nspname !~ '^pg_' AND has_schema_privilege(r.oid, n.oid, p)
UNION ALL SELECT 'extension', concat_ws(' ', extname, extversion, extnamespace::regnamespace) FROM pg_extension
UNION ALL SELECT a.what, x.grantee::regrole || ' ' || x.privilege_type || x.is_grantable || x.grantor::regrole FROM (
  SELECT 'acl of ' || datname, datacl FROM pg_database WHERE datname = current_database()
  UNION ALL SELECT oid::regclass::text, relacl FROM pg_class WHERE relnamespace <> 'pg_catalog'::regnamespace
  UNION ALL SELECT attrelid::regclass || ' ' || attname, attacl FROM pg_attribute
  UNION ALL SELECT oid::regprocedure::text, proacl FROM pg_proc WHERE pronamespace <> 'pg_catalog'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype),
    defaclacl FROM pg_default_acl) a (what, acl)
  CROSS JOIN LATERAL aclexplode(a.acl) x
"""


def dump(server: PostgreSQLServer, dbname: str, without: str) -> list[str]:
    """What the catalogs of a database say, WITHOUT the account of the tests themselves."""
    return sorted(map(str, server.query(_DUMP, {"without": [without]}, dbname=dbname)))


@pytest.mark.feature("A07")
def test_chosen_parts(foreign: PostgreSQLServer) -> None:
    engine = Engine(foreign, foreign.admin)
    found = exported(engine, databases=["sh?p"], accounts=["readers", "r*s"])
    assert {(one["kind"], one.get("name") or one.get("user") or one.get("role")) for one in found["objects"]} == {
        ("database_role", "readers"),
        ("database_user", "reports"),
        ("database", "shop"),
        ("database_grant", "readers"),
        ("database_grant", "reports"),
    }
    assert not engine.run(*found["objects"], check=True)["changed"]


@pytest.mark.feature("A07")
def test_an_export_has_no_secret_and_says_so(exporting: Engine) -> None:
    found = exported(exporting)
    assert "SCRAM" not in str(found)
    assert "password" not in {option for one in found["objects"] for option in one}
    assert any("passwords are not exported" in text for text in found["warnings"])


@pytest.mark.feature("A07")
def test_the_custom_resources_mean_the_same_to_the_operator(foreign: PostgreSQLServer) -> None:
    found = exported(Engine(foreign, foreign.admin))
    written = manifests(found["objects"], engine="postgres", instance="main", namespace="team")
    assert all(one["metadata"]["namespace"] == "team" for one in written.resources)
    meant = operator_objects(written.resources, engine="postgres")
    sent = Engine(foreign, foreign.admin).run(*meant, check=True)
    assert not sent["failed"], [one for one in sent["objects"] if one["failed"]]
    assert not sent["changed"], [one for one in sent["objects"] if one["changed"]]
    assert len(meant) > 12
    assert "database_grant readers: an entry of grants is left out, since the API has no field for columns" in str(
        written.warnings
    )
    assert any("it's me: the API admits only" in text for text in written.warnings)


@pytest.mark.feature("A07")
def test_what_cannot_be_declared_is_said(superuser_engine: Engine, unique: Callable[[str], str]) -> None:
    server, name, boss, member = superuser_engine.server, unique("db"), unique("boss"), unique("mem")
    send(
        server,
        f"CREATE ROLE {boss} CONNECTION LIMIT 7",
        f"CREATE ROLE {member} LOGIN",
        f"GRANT {boss} TO {member} WITH ADMIN OPTION",
        f"GRANT pg_monitor TO {member}",
        f"CREATE DATABASE {name}",
        f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        f"ALTER DATABASE {name} SET work_mem = '5MB'",
        f"ALTER ROLE {member} IN DATABASE {name} SET work_mem = '6MB'",
    )
    send(
        server,
        "CREATE SCHEMA hidden",
        "CREATE TABLE hidden.far (id int)",
        f"GRANT SELECT ON hidden.far TO {member}",
        "CREATE TYPE mood AS ENUM ('good')",
        f"GRANT USAGE ON TYPE mood TO {member}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {boss} GRANT SELECT ON TABLES TO {member}",
        dbname=name,
    )
    found = exported(superuser_engine, databases=[name], accounts=[boss, member])
    text = "\n".join(found["warnings"])
    for part in (
        f"role {boss}: connection_limit can be declared for logins only",
        f"{member} is a member of {boss} in a way that cannot be declared (ADMIN",
        f"database {name}: everybody (PUBLIC) has no CONNECT on the database any more",
        f"settings of all roles in database {name} cannot be declared: work_mem",
        f"settings of role {member} in database {name} cannot be declared: work_mem",
        f"{member} has privileges on table hidden.far and may not use schema hidden",
        "what was granted on type public.mood cannot be declared",
        f"what was granted on all objects that {boss} makes later, in whatever schema cannot be declared",
    ):
        assert part in text
    grant = next(one for one in found["objects"] if one["kind"] == "database_grant")
    assert grant == {"kind": "database_grant", "user": member, "roles": ["pg_monitor"]}
    document = superuser_engine.run(*found["objects"], check=True)
    assert not document["failed"], document["objects"]
    assert not document["changed"]
