# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail against the server's own log: each statement that changes something is in both, secrets masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from objects import Body, apply, database, instance, patch, user, wait_gone, wait_ready
from operator_process import OperatorProcess
from server_log import SETTINGS, changes, plain

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded


@pytest.fixture
def logging_server() -> Iterator[PostgreSQLServer]:
    """A server that writes down each statement, and whose session sent it."""
    with PostgreSQLServer(embedded(), settings=SETTINGS) as server:
        yield server


@pytest.mark.feature("K10")
def test_each_statement_that_the_server_got_is_in_the_trail(
    operator: OperatorProcess,
    crds: ControlPlane,
    logging_server: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    server, name = logging_server, unique("a")
    lane = f"postgres://{server.admin.host}:{server.admin.port}"
    role: Body = {
        "apiVersion": "dbops.dbprovision.io/v1alpha1",
        "kind": "DatabaseRole",
        "metadata": {"name": "role", "namespace": namespace},
        "spec": {"instanceRef": {"name": "main"}, "roleName": f"{name}_r", "postgres": {}},
    }
    grant: Body = {
        "apiVersion": "dbops.dbprovision.io/v1alpha1",
        "kind": "DatabaseGrant",
        "metadata": {"name": "grant", "namespace": namespace},
        "spec": {
            "userRef": {"name": "app"},
            "databaseRef": {"name": "db"},
            "deletionProtection": False,
            "postgres": {
                "roles": [f"{name}_r"],
                "grants": [{"database": name, "schema": "s", "privileges": ["USAGE"]}],
            },
        },
    }
    script = {"inline": ["CREATE TABLE s.t (i int)", "INSERT INTO s.t VALUES (1)"]}
    block = {"schemas": [{"name": "s"}], "extensions": [{"name": "hstore"}]}
    apply(crds, *instance(namespace, server.admin), user(namespace, "app", f"{name}_u"), role, grant)
    apply(crds, database(namespace, "db", name, postgres=block, initSQL=script))
    kinds = {"database": "db", "databaserole": "role", "databaseuser": "app", "databasegrant": "grant"}
    for kind, one in kinds.items():
        wait_ready(crds, kind, namespace, one)
    patch(crds, "databaseuser", namespace, "app", {"spec": {"postgres": {"connectionLimit": 3}}})
    wait_ready(crds, "databaseuser", namespace, "app")
    for kind, one in reversed(kinds.items()):
        crds.kubectl("delete", kind, one, "--namespace", namespace, "--wait=false")
        wait_gone(crds, kind, namespace, one)

    trail = [one for one in operator.log_lines("dbops_operator.audit") if one.get("server") == lane]
    told = Counter(plain(one["message"]) for one in trail)
    scripts = {one for one in told if one.startswith("-- init_sql")}
    assert len(scripts) == 2
    got = changes(server)
    ours = {"CREATE TABLE s.t (i int)", "INSERT INTO s.t VALUES (1)"}
    assert ours <= got.keys(), "what a script says may hold secrets: the trail has its number instead"
    assert Counter({one: count for one, count in told.items() if one not in scripts}) == Counter(
        {one: count for one, count in got.items() if one not in ours}
    )
    assert any("********" in one for one in told)
    for one in trail:
        assert one["object"].split("/")[1] == namespace
        assert one["run"]
        assert one["reconcile"]
        assert one["editor"], one
    edits = [one for one in trail if "CONNECTION LIMIT 3" in one["message"]]
    assert [(one["object"], one["editor"]) for one in edits] == [(f"DatabaseUser/{namespace}/app", "kubectl-patch")]
