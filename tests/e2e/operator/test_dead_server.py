# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that hangs delays no object of another server, and is worked off when it answers again."""

from __future__ import annotations

from collections.abc import Callable

import objects
import pytest
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded

WAITING = 20
# Far less than what the hanging server's objects would take, at ten seconds until each gives up.
SOON = 30.0


@pytest.mark.feature("I08")
def test_a_hanging_server_delays_nobody_else(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    with PostgreSQLServer(embedded()) as hanging:
        objects.apply(crds, *objects.instance(namespace, hanging.admin, "hanging"))
        objects.apply(crds, *objects.instance(namespace, postgres.admin, "sound"))
        objects.wait_ready(crds, "databaseinstance", namespace, "hanging", "sound")
        hanging.pause()
        try:
            waiting = [f"waits-{number}" for number in range(WAITING)]
            logins = {name: unique("w") for name in waiting}
            objects.apply(crds, *(objects.user(namespace, name, logins[name], on="hanging") for name in waiting))
            login = unique("u")
            objects.apply(crds, objects.user(namespace, "goes-on", login, on="sound"))
            objects.wait_ready(crds, "databaseuser", namespace, "goes-on", timeout=SOON)
            assert postgres.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (login,)) == [(True,)]
            assert not any(
                objects.ready(objects.get(crds, "databaseuser", namespace, name)) == "True" for name in waiting
            )
        finally:
            hanging.resume()
        objects.wait_ready(crds, "databaseuser", namespace, *waiting, timeout=120)
        for name in waiting:
            crds.kubectl("delete", "databaseuser", name, "--namespace", namespace, "--timeout=60s")
    crds.kubectl("delete", "databaseuser", "goes-on", "--namespace", namespace, "--timeout=60s")
