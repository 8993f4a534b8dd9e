# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared: teams of a database, a role, a login and a grant, changed and deleted in a random stream.

A team's objects are deleted all at once and in any order, as `kubectl delete --all` does; it is declared anew when
they are gone. Used by harness.life; what a server must have then is `Team.declared`.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pymysql
import urllib3
from objects import Body, apply, get

from localstack.controlplane import ApiError, ControlPlane
from localstack.processes import wait_until

NAMESPACE = "teams"
GROUP = "dbops.dbprovision.io"
KINDS = ("database", "databaserole", "databaseuser", "databasegrant")
DATABASE_PRIVILEGES = {
    "postgres": ("CONNECT", "CREATE", "TEMPORARY"),
    "mysql": ("SELECT", "INSERT", "CREATE", "EXECUTE"),
}
COLLATIONS = ("utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_unicode_ci")


@dataclass(frozen=True)
class Declared:
    """What a server must have of one team: its names, and the values that change."""

    login: str
    role: str
    database: str
    connections: int
    """The login's limit of connections."""
    setting: str
    """The database's collation, or on PostgreSQL its limit of connections."""
    member: bool
    """Whether the login is a member of the role."""
    privileges: frozenset[str]
    """What the login may do in the database."""

    @property
    def names(self) -> set[str]:
        """The names on the server."""
        return {self.login, self.role, self.database}


class Team:
    """The objects of one team on one instance."""

    def __init__(self, number: int, instance: str, family: str, *, retained: bool) -> None:
        self.number = number
        self.instance = instance
        self.family = family
        self.retained = retained
        # What its policy leaves on the server is nobody's afterwards, so every life of it has names of its own.
        self.life = 0
        self.declared: Declared | None = None
        self.going: list[tuple[str, str]] = []

    @property
    def name(self) -> str:
        """The beginning of its objects' names."""
        return f"{self.instance}{self.number}" + (f"x{self.life}" if self.retained else "")

    @property
    def objects(self) -> list[tuple[str, str]]:
        """Kind and name of its objects."""
        return [(kind, f"{self.name}-{kind.removeprefix('database') or 'database'}") for kind in KINDS]

    @property
    def secret(self) -> str:
        """Name of its login's Secret."""
        return f"{self.name}-u-credentials"

    def declare(self, chance: random.Random) -> list[Body]:
        """Its manifests: with new values in all, or in one of them if it is declared already."""
        values = self._values(chance)
        if self.declared:
            changed = chance.choice(list(values))
            self.declared = replace(self.declared, **{changed: values[changed]})
        else:
            names = {"login": f"{self.name}_u", "role": f"{self.name}_r", "database": f"{self.name}_d"}
            self.declared = Declared(**names, **values)
        return self.bodies(self.declared)

    def _values(self, chance: random.Random) -> dict[str, Any]:
        privileges = DATABASE_PRIVILEGES[self.family]
        limit = str(chance.randint(1, 50))
        return {
            "connections": chance.randint(1, 50),
            "setting": limit if self.family == "postgres" else chance.choice(COLLATIONS),
            "member": chance.random() < 0.5,
            "privileges": frozenset(chance.sample(privileges, k=chance.randint(0, len(privileges)))),
        }

    def bodies(self, declared: Declared) -> list[Body]:
        """The manifests of what is DECLARED."""
        names = dict(self.objects)
        policy = "Retain" if self.retained else "Delete"
        blocks = _postgres(declared) if self.family == "postgres" else _mysql(declared)
        specs = {
            "Database": {"name": declared.database, "deletionPolicy": policy, "deletionProtection": False},
            "DatabaseRole": {"roleName": declared.role},
            "DatabaseUser": {"username": declared.login, "passwordSecret": {"secretName": self.secret}},
            "DatabaseGrant": {"userRef": {"name": names["databaseuser"]}, "deletionProtection": False},
        }
        # What somebody changes on the server comes back.
        drift = {"driftPolicy": {"mode": "correct", "interval": "5s"}}
        metadata = {"namespace": NAMESPACE, "annotations": {f"{GROUP}/allow-destructive-drift": "true"}}
        if self.retained:
            metadata["annotations"] |= {f"{GROUP}/deletion-policy": "Retain"}
        return [
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": kind,
                "metadata": {"name": names[kind.lower()], **metadata},
                "spec": {
                    **({} if kind == "DatabaseGrant" else {"instanceRef": {"name": self.instance}}),
                    **spec,
                    **drift,
                    self.family: blocks[kind],
                },
            }
            for kind, spec in specs.items()
        ]


def _postgres(declared: Declared) -> dict[str, Any]:
    entry = {"database": declared.database, "privileges": sorted(declared.privileges)}
    return {
        "Database": {"connectionLimit": int(declared.setting)},
        "DatabaseRole": {},
        "DatabaseUser": {"connectionLimit": declared.connections},
        "DatabaseGrant": _grant(declared, entry),
    }


def _mysql(declared: Declared) -> dict[str, Any]:
    entry = {"level": "database", "database": declared.database, "privileges": sorted(declared.privileges)}
    return {
        "Database": {"charset": "utf8mb4", "collation": declared.setting},
        "DatabaseRole": {"useNativeRoles": True},
        "DatabaseUser": {"maxUserConnections": declared.connections},
        "DatabaseGrant": _grant(declared, entry),
    }


def _grant(declared: Declared, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        **({"roles": [declared.role]} if declared.member else {}),
        **({"grants": [entry]} if declared.privileges else {}),
    }


_AWAY = (
    subprocess.CalledProcessError, ApiError, OSError, urllib3.exceptions.HTTPError,
    psycopg.OperationalError, pymysql.err.OperationalError,
)  # fmt: skip
_REFUSALS = ("is invalid", "BadRequest", "unknown field", "unknown flag")


def persist(call: Callable[[], Any]) -> Any:
    """Make CALL until the server that is asked, which may be away or hang, has answered."""
    answers: list[Any] = []

    def look() -> bool:
        try:
            answers.append(call())
        except _AWAY as error:
            # A refusal is one, whatever else breaks.
            if any(word in f"{getattr(error, 'stderr', '')}{error}" for word in _REFUSALS):
                raise
            return False
        return True

    wait_until(look, what="the server answers", timeout=120, interval=0.2)
    return answers[0]


class Stream:
    """Random applies, edits and deletes of TEAMS, and what may and must be left of those that were deleted."""

    def __init__(self, cluster: ControlPlane, teams: list[Team], names: Callable[[Team], set[str]], seed: int) -> None:
        """Prepare; NAMES asks the team's server which of its names are there."""
        self.cluster = cluster
        self.teams = teams
        self.random = random.Random(seed)
        self.must_stay: set[str] = set()
        self.may_stay: set[str] = set()
        self.counts = {"declared": 0, "edited": 0, "deleted": 0}
        self._names = names

    def one(self) -> None:
        """Do one random thing."""
        team = self.random.choice(self.teams)
        if not self.is_gone(team):
            return
        if team.declared is None or self.random.random() < 0.75:
            self.apply(team)
        else:
            self.delete(team)

    def apply(self, team: Team) -> None:
        """Declare the team, or edit what is declared."""
        self.counts["edited" if team.declared else "declared"] += 1
        bodies = team.declare(self.random)
        self.random.shuffle(bodies)
        persist(lambda: apply(self.cluster, *bodies))

    def delete(self, team: Team) -> None:
        """Delete all of the team's objects, in any order."""
        self.counts["deleted"] += 1
        team.declared, team.going = None, team.objects
        self.random.shuffle(team.going)
        if team.retained:
            # What was not made yet may be made until the deletion is seen, or never.
            self.must_stay |= persist(lambda: self._names(team))
            self.may_stay |= {f"{team.name}_{letter}" for letter in "urd"}
        for kind, name in team.going:
            persist(lambda kind=kind, name=name: self._delete(kind, name))
        team.life += 1

    def _delete(self, kind: str, name: str) -> None:
        where = ("--namespace", NAMESPACE, "--wait=false", "--ignore-not-found")
        self.cluster.kubectl("delete", kind, name, *where)

    def is_gone(self, team: Team) -> bool:
        """Whether what was deleted before is gone, so that the team can be declared anew."""
        there = [one for one in team.going if persist(lambda one=one: get(self.cluster, one[0], NAMESPACE, one[1]))]
        team.going = there
        return not there
