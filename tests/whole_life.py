# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind through its life: made, edited, looked at, deleted one by one and in confirmed cascades.

For tests of what an operator needs for it. Names on the server begin with the namespace's name, so that several
lives can be led on one server.
"""

from __future__ import annotations

from typing import Any

import objects
from objects import Body

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

GROUP = "dbops.dbprovision.io"
# The object of another operator that is only found, never served.
_ELSEWHERE = {f"{GROUP}/operator-instance-id": "nobody"}


class Life:
    """One namespace (and, if the operator serves it, the cluster's scope) with objects of every kind."""

    def __init__(self, cluster: ControlPlane, server: PostgreSQLServer, namespace: str, *, own: str) -> None:
        """OWN is the operator's namespace, where the Secret of the cluster's instance is."""
        self.cluster = cluster
        self.server = server
        self.namespace = namespace
        self.own = own
        self.prefix = namespace.replace("-", "_")

    def one(self, kind: str, name: str, spec: Body, **metadata: Any) -> Body:
        """An object of ours; kinds that begin with Cluster have no namespace."""
        place = {} if kind.startswith("Cluster") else {"namespace": self.namespace}
        return {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **place, **metadata},
            "spec": spec,
        }

    def namespaced(self) -> None:
        """Make all kinds that are in a namespace, look until they are Ready, edit them."""
        script = {"init.sql": "CREATE TABLE made_by_init_sql (id int);"}
        self._apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "init", "namespace": self.namespace},
                "data": script,
            },
            *objects.instance(self.namespace, self.server.admin),
            self._database(initSQL={"configMapRef": {"name": "init", "key": "init.sql"}}),
            objects.user(self.namespace, "app", f"{self.prefix}_app"),
            self._role("reader"),
            self._grant("app-reads", "app"),
        )
        for kind, name in (
            ("databaseinstance", "main"), ("database", "app"), ("databaseuser", "app"), ("databaserole", "reader"),
            ("databasegrant", "app-reads"),
        ):  # fmt: skip
            objects.wait_ready(self.cluster, kind, self.namespace, name)
        self._edit_all()

    def _edit_all(self) -> None:
        edits = {
            ("databaseinstance", "main"): {"healthCheck": {"intervalSeconds": 20}},
            ("database", "app"): {"postgres": {"connectionLimit": 7}},
            ("databaseuser", "app"): {
                "passwordSecret": {
                    # The name that it has without one.
                    "secretName": f"{self.namespace}-app-credentials",
                    "secretTemplate": {"labels": {"team": "blue"}},
                }
            },
            ("databaserole", "reader"): {"postgres": {"inherit": False}},
            ("databasegrant", "app-reads"): {
                "postgres": {"grants": [{"database": f"{self.prefix}_app", "privileges": ["CONNECT", "TEMPORARY"]}]}
            },
        }
        for (kind, name), spec in edits.items():
            objects.patch(self.cluster, kind, self.namespace, name, {"spec": spec})
        for kind, name in edits:
            objects.wait_ready(self.cluster, kind, self.namespace, name)
        self._renew_password()

    def _renew_password(self) -> None:
        """As people do it: they delete the Secret."""
        name = f"{self.namespace}-app-credentials"
        before = objects.secret_content(self.cluster, self.namespace, name)
        assert before
        self.cluster.kubectl("delete", "secret", name, "--namespace", self.namespace)
        wait_until(
            lambda: (
                objects.secret_content(self.cluster, self.namespace, name).get("password", before["password"])
                != before["password"]
            ),
            what="a new password",
        )

    def backups(self) -> None:
        """Make backups, a schedule and a restore, and what another operator has in work, which nobody ends here."""
        backup = {"databaseRef": {"name": "app"}, "storage": {"type": "pvc", "pvc": {"claimName": "x"}}}
        restore = {"backupRef": {"name": "found"}, "target": {"databaseRef": {"name": "app"}}}
        self._apply(
            self.one("DatabaseBackup", "own", backup),
            self.one("DatabaseBackup", "found", backup, labels=_ELSEWHERE),
            self.one("DatabaseRestore", "own", restore),
            self.one("DatabaseRestore", "found", restore, labels=_ELSEWHERE),
            self.one(
                "DatabaseBackupSchedule", "own",
                {"schedule": "* * * * *", "template": {"spec": backup}, "deletionProtection": False},
            ),
        )  # fmt: skip
        for kind in ("databasebackup", "databaserestore", "databasebackupschedule"):
            wait_until(lambda kind=kind: objects.condition(self._get(kind, "own")), what=f"{kind} says something")
        wait_until(self._scheduled, what="a minute begins, and a backup is made", timeout=70)
        paused = {"spec": {"paused": True}}
        objects.patch(self.cluster, "databasebackupschedule", self.namespace, "own", paused)

    def _scheduled(self) -> bool:
        schedule = self._get("databasebackupschedule", "own") or {}
        return bool(schedule.get("status", {}).get("lastBackup"))

    def end_namespaced(self) -> None:
        """Delete a grant and a role by themselves, and the rest in a confirmed cascade."""
        for kind, name in (("databasegrant", "app-reads"), ("databaserole", "reader")):
            objects.patch(self.cluster, kind, self.namespace, name, {"metadata": {"labels": {"goes": "now"}}})
            self.cluster.kubectl("delete", kind, name, "--namespace", self.namespace, "--timeout=60s")
        self._apply(self._role("reader"), self._grant("app-reads", "app"))
        objects.wait_ready(self.cluster, "databasegrant", self.namespace, "app-reads")
        objects.wait_ready(self.cluster, "databaserole", self.namespace, "reader")
        self._cascade("databaseinstance", "main", self.namespace)

    def clusterwide(self) -> None:
        """Make the kinds of the cluster's scope, edit them, delete them in a confirmed cascade."""
        secret, instance = objects.instance(self.own, self.server.admin, f"{self.namespace}-all")
        spec = {**instance["spec"], "deletionProtection": True}
        on = {"clusterInstanceRef": {"name": f"{self.namespace}-all"}}
        role, grant = f"{self.namespace}-role", f"{self.namespace}-grant"
        user = {**on, "username": f"{self.prefix}_all", "postgres": {}}
        self._apply(
            secret,
            self.one("ClusterDatabaseInstance", f"{self.namespace}-all", spec),
            self.one("DatabaseUser", "all", user),
            self.one("ClusterDatabaseRole", role, {**on, "roleName": f"{self.prefix}_role", "postgres": {}}),
            self.one(
                "ClusterDatabaseGrant", grant,
                {
                    **on,
                    "userRef": {"name": "all", "namespace": self.namespace},
                    "postgres": {"roles": [f"{self.prefix}_role"]},
                    "deletionProtection": False,
                },
            ),
        )  # fmt: skip
        kinds = {
            "clusterdatabaseinstance": f"{self.namespace}-all",
            "clusterdatabaserole": role,
            "clusterdatabasegrant": grant,
        }
        self._wait_clusterwide(kinds)
        for kind, name in kinds.items():
            self.cluster.kubectl("label", kind, name, "edited=yes")
        self.cluster.kubectl("delete", "clusterdatabasegrant", grant, "--timeout=60s")
        self._apply(self.one("ClusterDatabaseGrant", grant, {
            **on, "userRef": {"name": "all", "namespace": self.namespace},
            "postgres": {"roles": [f"{self.prefix}_role"]}, "deletionProtection": False,
        }))  # fmt: skip
        self._wait_clusterwide(kinds)
        self._cascade("clusterdatabaseinstance", f"{self.namespace}-all", "")

    def _wait_clusterwide(self, kinds: dict[str, str]) -> None:
        for kind, name in kinds.items():
            self.cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"{kind}/{name}")

    def _cascade(self, kind: str, name: str, namespace: str) -> None:
        place = ["--namespace", namespace] if namespace else []

        def hash_asked() -> str:
            return self.cluster.kubectl(
                "get", kind, name, *place, "--output=jsonpath={.status.deletionConfirmation.hash}"
            )

        self.cluster.kubectl("annotate", kind, name, *place, f"{GROUP}/force-delete=true")
        self.cluster.kubectl("delete", kind, name, *place, "--wait=false")
        wait_until(hash_asked, what="a confirmation is asked for")
        self.cluster.kubectl("annotate", kind, name, *place, f"{GROUP}/confirm-force-delete={hash_asked()}")
        self.cluster.kubectl("wait", "--for=delete", kind, name, *place, "--timeout=120s")

    def _database(self, **spec: Any) -> Body:
        return objects.database(self.namespace, "app", f"{self.prefix}_app", **spec)

    def _role(self, name: str) -> Body:
        spec = {"instanceRef": {"name": "main"}, "roleName": f"{self.prefix}_{name}", "postgres": {}}
        return self.one("DatabaseRole", name, spec)

    def _grant(self, name: str, user: str) -> Body:
        privileges = [{"database": f"{self.prefix}_app", "privileges": ["CONNECT"]}]
        references = {"userRef": {"name": user}, "databaseRef": {"name": "app"}}
        return self.one(
            "DatabaseGrant", name, {**references, "postgres": {"grants": privileges}, "deletionProtection": False}
        )

    def _apply(self, *bodies: Body) -> None:
        objects.apply(self.cluster, *bodies)

    def _get(self, kind: str, name: str) -> Body | None:
        return objects.get(self.cluster, kind, self.namespace, name)
