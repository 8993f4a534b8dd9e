# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as the tests of this folder call it: one server, one admin account, and an independent judge.

Each state is brought about in four runs (check, run, check, run), which must say changed, changed, ok, ok, and a
check must leave the server as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from localstack.postgresql import Login, PostgreSQLServer

# Everything about roles and databases that a statement of ours could change, read as superuser.
_SNAPSHOT = """
SELECT 'role', to_jsonb(r)::text FROM pg_authid r
UNION ALL SELECT 'membership', to_jsonb(m)::text FROM pg_auth_members m
UNION ALL SELECT 'setting', to_jsonb(s)::text FROM pg_db_role_setting s
UNION ALL SELECT 'database', (to_jsonb(d) - 'datfrozenxid' - 'datminmxid')::text FROM pg_database d
UNION ALL SELECT 'dependency', to_jsonb(d)::text FROM pg_shdepend d
ORDER BY 1, 2
"""

_LISTS = """
SELECT 'schema', nspname || ' ' || coalesce(nspacl::text, '') FROM pg_namespace
UNION ALL SELECT 'relation', oid::regclass || ' ' || coalesce(relacl::text, '') FROM pg_class
UNION ALL SELECT 'column', attrelid::regclass || '.' || attname || ' ' || attacl::text FROM pg_attribute
  WHERE attacl IS NOT NULL
UNION ALL SELECT 'routine', oid::regprocedure || ' ' || proacl::text FROM pg_proc WHERE proacl IS NOT NULL
UNION ALL SELECT 'default', to_jsonb(d)::text FROM pg_default_acl d
ORDER BY 1, 2
"""

Document = dict[str, Any]


class Engine:
    """Calls of `converge` on a server with one account."""

    def __init__(self, server: PostgreSQLServer, login: Login) -> None:
        """Work on SERVER as LOGIN."""
        self.server = server
        self.login = login
        self.options = login.options()
        self.inside: list[str] = []
        """Databases of which a snapshot has the access control lists as well."""

    @property
    def weak(self) -> bool:
        """Whether the account is no superuser."""
        return self.login.user != self.server.admin.user

    def own_ledger(self) -> Engine:
        """Take away a ledger that another account of the tests has made: it would not be trusted."""
        query = "SELECT 1 FROM pg_database WHERE datname = 'dbops' AND datdba <> %s::regrole"
        if self.server.query(query, [f'"{self.login.user}"']):
            self.server.query("DROP DATABASE dbops WITH (FORCE)")
        return self

    def run(self, *objects: Mapping[str, Any], connection: Mapping[str, Any] | None = None, **request: Any) -> Document:
        """Converge OBJECTS; CONNECTION are options that differ."""
        options = {**self.options, **(connection or {})}
        return converge({"connection": options, "objects": list(objects), **request})

    def one(self, declared: Mapping[str, Any], **request: Any) -> Document:
        """Converge one object and give its result."""
        result: Document = self.run(declared, **request)["objects"][0]
        return result

    def snapshot(self) -> list[tuple[Any, ...]]:
        """Give what the catalogs say about roles and databases."""
        found = self.server.query(_SNAPSHOT)
        for name in self.inside:
            found += self.server.query(_LISTS, dbname=name)
        return found

    def four_runs(self, *objects: Mapping[str, Any]) -> Document:
        """Bring OBJECTS about: changed, changed, ok, ok. Gives the document of the run that did it."""
        before = self.snapshot()
        planned = self.run(*objects, check=True)
        assert not planned["failed"], planned["objects"]
        assert planned["changed"]
        assert self.snapshot() == before, "a check changed the server"
        done = self.run(*objects)
        assert not done["failed"], done["objects"]
        assert done["changed"]
        after = self.snapshot()
        for check in (True, False):
            again = self.run(*objects, check=check)
            assert not again["failed"], again["objects"]
            assert not again["changed"], again["objects"]
            assert [one["steps"] for one in again["objects"]] == [[] for _ in objects]
        assert self.snapshot() == after, "a run without changes changed the server"
        return done

    def logs_in(self, user: str, password: str, dbname: str = "postgres") -> bool:
        """Whether USER can log in, tried by nothing that the engine uses."""
        try:
            psycopg.connect(self.server.login(user, password).dsn(dbname), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True


def owner(name: str, *, namespace: str = "team", kind: str = "DatabaseUser", cluster: str = "test") -> dict[str, str]:
    """Give an owner as the operator names one."""
    return {"cluster": cluster, "kind": kind, "namespace": namespace, "name": name}


def user(name: str, **options: Any) -> dict[str, Any]:
    """Declare a user."""
    return {"kind": "database_user", "name": name, **options}


def role(name: str, **options: Any) -> dict[str, Any]:
    """Declare a group role."""
    return {"kind": "database_role", "name": name, **options}


def grant(name: str, **options: Any) -> dict[str, Any]:
    """Declare what somebody gets; NAME is the declaration's."""
    return {"kind": "database_grant", "name": name, **options}
