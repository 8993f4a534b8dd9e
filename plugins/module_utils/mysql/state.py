# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed on a server of MySQL or MariaDB, as plain values.

Filled by mysql/catalog.py and its neighbours in a few queries for all objects together; read by the planners
(database.py, user.py, ...), which touch no server. None stands for "could not be read with this account".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import Dialect
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import can_be


class Reader(Protocol):
    """A session that catalogs are read through."""

    def rows(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Give all rows of QUERY, a constant text with the driver's placeholders."""


class AccountName(NamedTuple):
    """An account: a user at a host, or a role (on MariaDB its host is empty)."""

    user: str
    host: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.user}@{self.host}" if self.host else self.user


class Target(NamedTuple):
    """What privileges are on. A database is a name, or with level `database` a pattern as the grant tables have it."""

    level: str
    database: str = ""
    name: str = ""
    """Of a table or a routine."""
    column: str = ""


class Wanted(NamedTuple):
    """What has to be read of a server for some declared objects; made for each of them, which may be thousands."""

    users: frozenset[str] = frozenset()
    """Users and roles by name; all their hosts are read."""
    databases: frozenset[str] = frozenset()
    definers: frozenset[str] = frozenset()
    """Users of whom views, routines, triggers and events are looked for (they are in `users` as well)."""
    privileges: frozenset[str] = frozenset()
    """Users whose privileges are read (they are in `users` as well)."""
    memberships: frozenset[tuple[str, str]] = frozenset()
    """Members and the roles that they are to get (all in `users` as well)."""
    privileges_in: frozenset[str] = frozenset()
    """Databases on which everybody's privileges are read."""
    targets: frozenset[Target] = frozenset()
    """Tables, columns and routines of which it matters whether they are there."""
    unmanaged: frozenset[str] = frozenset()
    """Instances that ask for what nobody declares."""
    access: frozenset[tuple[str, str]] = frozenset()
    """Databases and tables of which somebody asks who gets to them; TableName of access_state.py."""

    @classmethod
    def union(cls, many: Iterable[Wanted]) -> Wanted:
        """Give all of MANY together, without names that no server has: planners refuse those."""
        found: list[set[Any]] = [set() for _field in cls._fields]
        for part in many:
            for together, those in zip(found, part, strict=True):
                if those:
                    together.update(those)
        return cls(*(frozenset(name for name in those if all(map(can_be, _parts(name)))) for those in found))

    def with_(self, other: Wanted) -> Wanted:
        """Give both together."""
        together: list[Any] = [one | more for one, more in zip(self, other, strict=True)]
        return Wanted(*together)


def _parts(name: str | tuple[str, ...]) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) else name


class RoleGrant(NamedTuple):
    """A role that an account has; `default`: active from the login on."""

    role: AccountName
    admin: bool = False
    default: bool = False


@dataclass(frozen=True)
class OwnedObject:
    """A view, routine, trigger or event whose definer is an account."""

    database: str
    name: str
    type: str
    host: str = "%"
    """Of the definer."""


@dataclass(frozen=True)
class Declaration:
    """What one declaration gives to one user or role: by the ledger, or by the list that is worked on.

    Of privileges at level `database` the database is a name, not a pattern.
    """

    owner: str
    """Whose it is, for people."""
    roles: frozenset[str] = frozenset()
    privileges: Mapping[Target, frozenset[str]] = field(default_factory=dict)
    copied: Mapping[Target, frozenset[str]] = field(default_factory=dict)
    """What it gave for roles that are none of the server's (emulation.py)."""


@dataclass(frozen=True)
class Account:
    """A row of mysql.user or mysql.global_priv."""

    name: AccountName
    is_role: bool = False
    """MariaDB's flag; MySQL tells roles from users by nothing."""
    plugin: str = ""
    authentication: str = field(default="", repr=False)
    """The hash of the password, in the plugin's form."""
    second_password: bool = False
    locked: bool = False
    expired: bool = False
    tls: str = ""
    """What REQUIRE says: nothing, `SSL`, `X509`, or `SPECIFIED` for a certain certificate."""
    max_queries_per_hour: int = 0
    max_updates_per_hour: int = 0
    max_connections_per_hour: int = 0
    max_user_connections: int = 0
    password_lifetime: int | None = None
    """Days; 0 for never, None for the server's default."""
    failed_login_attempts: int = 0
    password_lock_time: int = 0
    """Days; -1 for ever."""
    roles: tuple[RoleGrant, ...] = ()
    default_role: str = ""
    """MariaDB's one."""
    privileges: Mapping[Target, frozenset[str]] = field(default_factory=dict)
    """Only where they were asked for, but for those at level `global`."""
    restrictions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Partial revokes: databases, and what is held everywhere but there."""
    sessions: tuple[int, ...] = ()
    """Of the user, whatever the host: the server does not tell which account a session is of."""
    password_matches: bool | None = None
    """Whether the declared password logs in; tried only where the hash tells nothing."""


@dataclass(frozen=True)
class Database:
    """A row of information_schema.schemata."""

    name: str
    charset: str
    collation: str
    size_bytes: int | None = None
    sessions: tuple[int, ...] = ()
    """Those in it, without our own."""


@dataclass(frozen=True)
class Admin:
    """The account that we are logged in as, with what its active roles add."""

    name: AccountName
    privileges: Mapping[Target, frozenset[str]] = field(default_factory=dict)
    acts_as: frozenset[AccountName] = frozenset()
    """Itself and the roles that are active in its sessions."""
    administers: frozenset[AccountName] = frozenset()
    """Roles that it has WITH ADMIN OPTION, itself or by a role that is active."""
    reads_accounts: bool = False
    """Whether it may read the server's tables of accounts and privileges."""
    accounts_problem: str = ""
    """Which of these it may not read."""

    def may(self, privilege: str) -> bool:
        """Whether it has PRIVILEGE everywhere."""
        return any(privilege in words for target, words in self.privileges.items() if target.level == "global")


@dataclass(frozen=True)
class Facts:
    """The server as a whole."""

    version: str
    dialect: Dialect
    identity: str | None
    """What tells the server from others; None where it has nothing of the kind."""
    admin: Admin
    read_only: bool = False
    super_read_only: bool = False
    replica: bool = False
    lower_case_table_names: int = 0
    partial_revokes: bool = False
    binary_log: bool = False
    trusts_function_creators: bool = False
    digest_rounds: int = 5000
    """How often caching_sha2_password hashes."""
    activates_roles: bool = False
    """Whether all roles are active from the login on, whatever is default."""
    charset: str = "utf8mb4"
    collation: str = ""
    pooler: bool = False

    def fold(self, name: str) -> str:
        """Give the name of a database or table as the server compares it."""
        return name.lower() if self.lower_case_table_names else name


@dataclass
class ServerState:
    """All that was observed for one run, by name. Missing names do not exist."""

    facts: Facts
    accounts: dict[str, dict[str, Account]] = field(default_factory=dict)
    """Those of the users asked for, by user and host."""
    databases: dict[str, Database] = field(default_factory=dict)
    """By their folded names (Facts.fold)."""
    collations: Mapping[str, str] = field(default_factory=dict)
    """Every collation, and the character set that it belongs to."""
    default_collations: Mapping[str, str] = field(default_factory=dict)
    """Every character set, and its collation where none is named."""
    definitions: dict[str, tuple[OwnedObject, ...]] = field(default_factory=dict)
    """Of the users asked for: what has one of their accounts as its definer."""
    privileges_in: dict[str, dict[AccountName, dict[Target, frozenset[str]]]] = field(default_factory=dict)
    """Of the databases asked for: everybody's privileges on exactly that name, and on what is in it."""
    targets: dict[Target, bool] = field(default_factory=dict)
    """Of the tables, columns and routines asked for: whether they are there."""
    roles_beyond: dict[AccountName, tuple[RoleGrant, ...]] = field(default_factory=dict)
    """What roles of roles have in turn, where it matters whether a new membership would close a circle."""
    members: dict[str, frozenset[str]] = field(default_factory=dict)
    """Of locked accounts that stand for roles: who is a member by the ledger or the list."""
    unmanaged: dict[str, list[str]] = field(default_factory=dict)
    """Where it was asked for: databases, users and roles that nobody declares."""
    access: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Of the tables asked for: Access of access_state.py, or the DbopsError that says why there is none."""
    made_roles: frozenset[AccountName] = frozenset()
    """Roles that check mode would have made."""
    dynamic_privileges: frozenset[str] = frozenset()
    """MySQL: those that the server's components have registered."""
    declared: dict[str, dict[tuple[str, str], Declaration]] = field(default_factory=dict)
    """What declarations give to the users and roles of interest, by their names and by the ledger's names of the
    declarations (thing and name)."""
    scripted: frozenset[str] = frozenset()
    """Databases whose content a script of theirs would have changed by now, had check mode not kept us from it."""
    ledger_problem: str | None = None
    """Why ownership can not be recorded on this server; None where it is or could be."""
    ledger_reason: Reason = Reason.PRIVILEGE_MISSING
    """The reason that goes with it."""

    def of_ledger(self) -> dict[str, Any]:
        """Give what is known of the ledger, as fields."""
        return {"ledger_problem": self.ledger_problem, "ledger_reason": self.ledger_reason}

    def of_user(self, user: str) -> list[Account]:
        """Give the accounts of USER, by host."""
        return [account for _ignored, account in sorted(self.accounts.get(user, {}).items())]

    def others(self, grantee: str, own: tuple[str, str]) -> list[Declaration]:
        """Give what all declarations but OWN (thing and name) give to GRANTEE."""
        return [one for name, one in self.declared.get(grantee, {}).items() if name != own]
