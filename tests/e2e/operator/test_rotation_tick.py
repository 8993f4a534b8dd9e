# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred passwords that are due at the same minute, and somebody who is in a hurry meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

import objects
import pytest
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

USERS = 200
PATIENCE = 10.0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.feature("R01", "R03")
def test_many_rotations_at_once_hold_up_nobody(
    crds: ControlPlane, operator: OperatorProcess, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    assert operator.running()
    namespace = unique("t").replace("_", "-")
    crds.kubectl("create", "namespace", namespace)
    objects.apply(crds, *objects.instance(namespace, postgres.admin))
    prefix = unique("k")[-12:]

    def rotating(number: int, schedule: str) -> objects.Body:
        body = objects.user(namespace, f"user-{number}", f"{prefix}_{number}")
        body["spec"]["passwordRotation"] = {"enabled": True, "schedule": schedule}
        return body

    def rotated() -> int:
        bodies = objects.all_of(crds, "databaseuser", namespace)
        states = [one.get("status", {}).get("rotation") or {} for one in bodies]
        return sum(1 for one in states if one.get("pendingDeletion"))

    names = [f"user-{number}" for number in range(USERS)]
    objects.apply(crds, *(rotating(number, "0 0 1 1 *") for number in range(USERS)))
    objects.wait_ready(crds, "databaseuser", namespace, *names, timeout=300)
    objects.apply(crds, *(rotating(number, "* * * * *") for number in range(USERS)))
    wait_until(lambda: rotated() > 0, what="the first have rotated", timeout=120)
    begin = time.monotonic()
    objects.apply(crds, objects.user(namespace, "hurry", f"{prefix}_hurry"))
    objects.wait_ready(crds, "databaseuser", namespace, "hurry")
    waited, others = time.monotonic() - begin, rotated()
    wait_until(lambda: rotated() == USERS, what="all have rotated", timeout=240)
    objects.apply(crds, *(rotating(number, "0 0 1 1 *") for number in range(USERS)))
    objects.wait_ready(crds, "databaseuser", namespace, *names, timeout=300)
    print(f"ready after {waited:.1f} s, when {others} of {USERS} had rotated")
    assert waited < PATIENCE
    for name in names[::20]:
        user = objects.get(crds, "databaseuser", namespace, name)
        assert user
        content = objects.secret_content(crds, namespace, user["status"]["secret"]["name"])
        assert objects.log_in(content).startswith("svc_")
    crds.kubectl("delete", "namespace", namespace, "--timeout=300s")
