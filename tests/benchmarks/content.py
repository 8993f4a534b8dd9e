# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's declared content of any size, always of the same mixture, for `converge` and as the community's tasks.

Of 100 objects 2 are databases, 8 roles, 40 users and 50 grants, which a role or a user gets on a database, on a schema
(PostgreSQL) or as a membership. One object is one task of the community collections, so both have the same work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]


@dataclass(frozen=True)
class Content:
    """The content of a server of ENGINE (`postgres`, `mysql`, `mariadb`) that is declared by COUNT objects."""

    engine: str
    count: int
    passwords: bool = False
    """Whether users have one: comparing it costs the same for each, and would hide what else grows."""

    @property
    def databases(self) -> list[str]:
        """Their names."""
        return [f"shop_{number}" for number in range(self.count // 50)]

    @property
    def roles(self) -> list[str]:
        """Their names."""
        return [f"reader_{number}" for number in range(self.count * 8 // 100)]

    @property
    def users(self) -> list[str]:
        """Their names."""
        return [f"clerk_{number}" for number in range(self.count * 40 // 100)]

    @property
    def memberships(self) -> list[tuple[str, str]]:
        """Who is a member of which role: 20 of 100 objects."""
        roles = self.roles
        return [(user, roles[number % len(roles)]) for number, user in enumerate(self.users[::2])]

    @property
    def on_databases(self) -> list[tuple[str, str, str]]:
        """Database, user and privilege: 20 of 100 objects."""
        word = "TEMPORARY" if self.engine == "postgres" else "SELECT"
        databases = self.databases
        return [(databases[number % len(databases)], user, word) for number, user in enumerate(self.users[1::2])]

    @property
    def of_roles(self) -> list[tuple[str, str, str]]:
        """Database, role and privilege, on PostgreSQL on the schema public of the database: 10 of 100 objects."""
        # Who gets anything in a schema from us may use it as well.
        word = "CREATE,USAGE" if self.engine == "postgres" else "INSERT"
        databases, roles = self.databases, self.roles
        pairs = ((databases[number % len(databases)], number) for number in range(self.count // 10))
        return [(database, roles[(number + number // len(roles)) % len(roles)], word) for database, number in pairs]

    def declared(self, owner: str | None = None) -> list[Entry]:
        """Give the objects for `converge`, declared by an OWNER (a word) or by nobody."""
        names = {"database": self.databases, "database_role": self.roles, "database_user": self.users}
        objects: list[Entry] = [{"kind": kind, "name": name} for kind, those in names.items() for name in those]
        if self.passwords:
            objects = [
                one | {"password": password(one["name"])} if one["kind"] == "database_user" else one for one in objects
            ]
        grants: list[Entry] = [{"user": user, "roles": [role]} for user, role in self.memberships]
        grants += [{"user": user, "grants": [_on(database, [word])]} for database, user, word in self.on_databases]
        schema = {"schema": "public"} if self.engine == "postgres" else {}
        grants += [{"role": role, "grants": [_on(db, word.split(",")) | schema]} for db, role, word in self.of_roles]
        objects += [{"kind": "database_grant", "name": f"grant_{number}", **one} for number, one in enumerate(grants)]
        return [one | {"dbops_owner": owner} for one in objects] if owner else objects


def _on(database: str, privileges: Sequence[str]) -> Entry:
    return {"database": database, "privileges": list(privileges)}


def password(name: str) -> str:
    """Give a user's password."""
    return f"the password of {name}"


def community_tasks(content: Content, connection: Mapping[str, Any]) -> list[Entry]:
    """Give the same CONTENT as tasks of community.postgresql or community.mysql: loops, an item for each object."""
    make = _postgresql if content.engine == "postgres" else _mysql
    return [
        {
            module: {**connection, **{option: f"{{{{ item.{option} }}}}" for option in items[0]}},
            "loop": items,
            "loop_control": {"label": ""},
        }
        for module, items in make(content)
    ]


def _postgresql(content: Content) -> list[tuple[str, list[Entry]]]:
    users: list[Entry] = [{"name": user} for user in content.users]
    if content.passwords:
        users = [one | {"password": password(one["name"])} for one in users]
    on_databases = [
        {"login_db": database, "type": "database", "privs": word, "role": user}
        for database, user, word in content.on_databases
    ]
    of_roles = [
        {"login_db": database, "type": "schema", "objs": "public", "privs": word, "role": role}
        for database, role, word in content.of_roles
    ]
    return [
        ("community.postgresql.postgresql_db", [{"name": name} for name in content.databases]),
        (
            "community.postgresql.postgresql_user",
            [{"name": name, "role_attr_flags": "NOLOGIN"} for name in content.roles],
        ),
        ("community.postgresql.postgresql_user", users),
        (
            "community.postgresql.postgresql_membership",
            [{"groups": [role], "target_roles": [user]} for user, role in content.memberships],
        ),
        ("community.postgresql.postgresql_privs", on_databases),
        ("community.postgresql.postgresql_privs", of_roles),
    ]


def _mysql(content: Content) -> list[tuple[str, list[Entry]]]:
    users: list[Entry] = [{"name": user, "host": "%"} for user in content.users]
    if content.passwords:
        users = [one | {"password": password(one["name"])} for one in users]
    memberships = [
        {"name": role, "members": [f"{user}@%"], "append_members": True} for user, role in content.memberships
    ]
    on_databases = [
        {"name": user, "host": "%", "priv": f"{database}.*:{word}", "append_privs": True}
        for database, user, word in content.on_databases
    ]
    of_roles = [
        {"name": role, "priv": f"{database}.*:{word}", "append_privs": True}
        for database, role, word in content.of_roles
    ]
    return [
        ("community.mysql.mysql_db", [{"name": name} for name in content.databases]),
        ("community.mysql.mysql_role", [{"name": name} for name in content.roles]),
        ("community.mysql.mysql_user", users),
        ("community.mysql.mysql_role", memberships),
        ("community.mysql.mysql_user", on_databases),
        ("community.mysql.mysql_role", of_roles),
    ]
