# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed on a PostgreSQL server, as plain values.

Filled by postgresql/catalog.py in a few queries for all objects together; read by the planners (database.py,
user.py), which touch no server. None stands for "could not be read with this account".
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.access_state import Access, TableName
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import (
    CatalogKey,
    DatabaseAcls,
    DefaultAcl,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import (
    DefaultKey,
    Target,
    merge,
)


class Reader(Protocol):
    """A session that catalogs are read through."""

    @property
    def version_number(self) -> int:
        """The server's version, such as 170010."""

    def rows(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Give all rows of QUERY, a constant text with psycopg's placeholders."""


Asked = Mapping[Target, AbstractSet[str]]
"""What privileges are on, and the roles of which they matter."""


class WantedExtension(NamedTuple):
    """An extension that is to be in a database, in any version and schema if None."""

    database: str
    name: str
    version: str | None
    schema: str | None


class Wanted(NamedTuple):
    """What has to be read of a server for some declared objects; made for each of them, which may be thousands."""

    roles: frozenset[str] = frozenset()
    databases: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()
    """Databases that must be looked into (they are in `databases` as well)."""
    copies: frozenset[tuple[str, str]] = frozenset()
    """Databases and their templates: where the first does not exist, the second must be looked into."""
    dependencies: frozenset[str] = frozenset()
    """Roles of which everything that depends on them is to be read (they are in `roles` as well)."""
    settings: frozenset[str] = frozenset()
    """Names of server settings, in lower case, whose rules are to be read."""
    extensions: frozenset[WantedExtension] = frozenset()
    """Where one is not as wanted, it matters what the server has files of."""
    memberships: frozenset[tuple[str, str]] = frozenset()
    """Members and the roles that they are to get (all in `roles` as well)."""
    acls: Asked = MappingProxyType({})
    """Of which roles the privileges are to be read, by what they are on."""
    default_acls: frozenset[str] = frozenset()
    """Databases whose default privileges are to be read."""
    unmanaged: frozenset[str] = frozenset()
    """Instances that ask for what nobody declares."""
    access: frozenset[TableName] = frozenset()
    """Tables of which all is to be read that decides who gets to them."""
    grantees: frozenset[str] = frozenset()
    """Roles of which it matters what other declarations give them."""

    @classmethod
    def union(cls, many: Iterable[Wanted]) -> Wanted:
        """Give all of MANY together, each of which is looked at once and not kept: there may be thousands."""
        acls: dict[Target, set[str]] = {}
        sets: dict[str, set[Any]] = {name: set() for name in cls._fields if name != "acls"}
        for part in many:
            for name, those in zip(cls._fields, part, strict=True):
                if name == "acls":
                    add_asked(acls, part.acls)
                elif those:
                    sets[name].update(those)
        return cls(acls=acls, **{name: frozenset(those) for name, those in sets.items()})


def add_asked(into: dict[Target, set[str]], asked: Asked) -> None:
    """Add what is ASKED to INTO, whose sets are its own."""
    for target, grantees in asked.items():
        known = into.get(target)
        if known is None:
            into[target] = set(grantees)
        else:
            known |= grantees


@dataclass(frozen=True)
class Membership:
    """One row of pg_auth_members: the options, and who granted it. Before PostgreSQL 16 INHERIT and SET are true."""

    role: str
    grantor: str
    admin: bool = False
    inherit: bool = True
    set: bool = True


@dataclass(frozen=True)
class OwnedObject:
    """Something that a role owns: a table, a function, a schema, a database, ..."""

    database: str
    schema: str
    name: str
    type: str


@dataclass(frozen=True)
class PassedOn:
    """Privileges on an object, or on one of its columns, that DROP OWNED may leave."""

    type: str
    schema: str
    name: str
    arguments: tuple[tuple[str, str], ...]
    column: str
    grantor: str
    grantee: str
    privileges: frozenset[str]
    owner: str = ""
    """Who owns the object, if it is the owner that gave them; for pg_database_owner, who owns the database."""


@dataclass(frozen=True)
class Dependencies:
    """What stands in the way of dropping a role, from pg_shdepend."""

    owned: tuple[OwnedObject, ...] = ()
    """The first of the objects that it owns, by name; see `owned_count`."""
    owned_counts: Mapping[str, int] = field(default_factory=dict)
    """Databases with objects that it owns; "" for databases and tablespaces themselves."""
    privileges: Mapping[str, Mapping[CatalogKey, str | None]] = field(default_factory=dict)
    """Databases with privileges, policies or default privileges of it ("" for those on shared objects): what these
    are on, and who owns that; "" for the superuser that the server was made with, None where it does not matter."""
    passed_on: Mapping[str, tuple[PassedOn, ...]] = field(default_factory=dict)
    """By database ("" for what is on databases themselves): what others than the owners gave to it, or it to others,
    and what owners gave to it with the right to pass it on."""

    @property
    def privileges_in(self) -> dict[str, frozenset[str]]:
        """Databases with privileges of it, and the owners of what they are on."""
        return {
            database: frozenset(owner for owner in those.values() if owner is not None)
            for database, those in self.privileges.items()
        }

    @property
    def owned_count(self) -> int:
        """How many objects it owns in all."""
        return sum(self.owned_counts.values())

    @property
    def owned_in(self) -> frozenset[str]:
        """Where it owns objects."""
        return frozenset(self.owned_counts)


@dataclass(frozen=True)
class Role:
    """A row of pg_roles with its settings for all databases and its memberships.

    `verifier` is pg_authid's rolpassword: "" when there is no password, None when the account may not read it.
    """

    name: str
    superuser: bool
    create_db: bool
    create_role: bool
    inherit: bool
    login: bool
    replication: bool
    bypass_rls: bool
    connection_limit: int
    valid_until: datetime.datetime | str | None
    verifier: str | None = field(default=None, repr=False)
    config_parameters: dict[str, str] = field(default_factory=dict)
    member_of: tuple[Membership, ...] = ()
    sessions: int = 0
    password_matches: bool | None = None
    """Whether the declared password logs in, tried only where the verifier may not be read."""
    dependencies: Dependencies | None = None
    """Only where it was asked for."""


@dataclass(frozen=True)
class Declaration:
    """What one declaration gives to one role: by the ledger, or by the list that is worked on."""

    owner: str
    """Whose it is, for people."""
    roles: frozenset[str] = frozenset()
    items: Mapping[Target, Mapping[str, bool]] = field(default_factory=dict)
    default_privileges: Mapping[DefaultKey, frozenset[str]] = field(default_factory=dict)

    def with_(self, other: Declaration) -> Declaration:
        """Give both together, under the name of the other."""
        items = merge(merge({}, self.items), other.items)
        nothing: frozenset[str] = frozenset()
        keys = {
            key: self.default_privileges.get(key, nothing) | other.default_privileges.get(key, nothing)
            for key in {*self.default_privileges, *other.default_privileges}
        }
        return Declaration(other.owner, self.roles | other.roles, items, keys)


@dataclass(frozen=True)
class Extension:
    """An installed extension. Not `relocatable`: it stays in the schema that it was made in."""

    version: str
    schema: str
    owner: str
    relocatable: bool = True


@dataclass(frozen=True)
class ExtensionVersion:
    """What an extension's control file says of one version.

    `schema` is set where the extension lives in no other; `trusted` where CREATE on the database is enough for
    one that is otherwise for superusers.
    """

    superuser: bool = True
    trusted: bool = False
    schema: str | None = None
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class AvailableExtension:
    """An extension whose files are on the server."""

    default_version: str
    versions: Mapping[str, ExtensionVersion]


@dataclass(frozen=True)
class DatabaseContent:
    """What only a session in the database itself can see."""

    extensions: Mapping[str, Extension] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)
    """Name to owner, without those of the system."""
    schema_content: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What keeps a schema from being dropped, as people call it (`table app.orders`); members of extensions are
    not listed, their extension is (`extension hstore`). Only of schemas that hold something."""
    default_acls: tuple[DefaultAcl, ...] = ()


@dataclass(frozen=True)
class Sessions:
    """Sessions in a database, without our own. `protected`: whose this account may not end, by their roles."""

    count: int = 0
    protected: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Database:
    """A row of pg_database; `content` only where it was asked for and a session could be had."""

    name: str
    owner: str
    encoding: str
    lc_collate: str
    lc_ctype: str
    tablespace: str
    connection_limit: int
    is_template: bool
    allow_connections: bool
    size_bytes: int | None = None
    sessions: Sessions = Sessions()
    content: DatabaseContent | None = None
    content_problem: DbopsError | None = None
    """Why a session for `content` could not be had."""
    oid: int = 0
    """0 for one that is only foreseen."""

    def owners(self) -> set[str]:
        """The roles that own the database and what is known of its content."""
        inside = self.content
        if inside is None:
            return {self.owner}
        return {
            self.owner,
            *inside.schemas.values(),
            *(one.owner for one in inside.extensions.values()),
            *(one.grantor for one in inside.default_acls),
        }


@dataclass(frozen=True)
class Admin:
    """The account that we are logged in as: name, attributes, and the roles that it may act as or administer."""

    name: str
    superuser: bool
    create_db: bool
    create_role: bool
    replication: bool = False
    bypass_rls: bool = False
    reads_verifiers: bool = False
    """Whether it may read pg_authid."""
    signals_sessions: bool = False
    """Member of pg_signal_backend, or superuser."""
    administers: frozenset[str] | None = None
    """PostgreSQL 16 and newer: roles with ADMIN option; None where CREATEROLE is enough (before 16, superuser)."""
    member_of: frozenset[str] = frozenset()
    """Roles that it may SET ROLE to, directly or not; everything for a superuser is not listed."""
    inherits: frozenset[str] = frozenset()
    """Roles whose privileges it has without SET ROLE (`pg_has_role(..., 'USAGE')`), itself included."""


@dataclass(frozen=True)
class Setting:
    """A row of pg_settings: its `context`, and whether our account may set it for a role."""

    name: str
    context: str
    settable: bool = True


@dataclass(frozen=True)
class Facts:
    """The server as a whole. `system_identifier` is decimal text; None where it may not be read."""

    version: str
    version_number: int
    system_identifier: str | None
    in_recovery: bool
    read_only: bool
    database: str
    """Where the session of the server as a whole is."""
    admin: Admin
    admin_database: str = ""
    """The database that the connection options name (login_db)."""
    pooler: bool = False
    bootstrap: str = ""
    """The superuser that the server was made with, in whose name superusers grant memberships."""


@dataclass
class ServerState:
    """All that was observed for one run, by name. Missing names do not exist."""

    facts: Facts
    roles: dict[str, Role] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    tablespaces: Mapping[str, bool] = field(default_factory=dict)
    """Every tablespace, and whether this account may create in it."""
    extensions: Mapping[str, AvailableExtension] | None = None
    """The extensions whose files are on the server; None where nothing declared needs to know."""
    role_names: set[str] = field(default_factory=set)
    """Those of the roles asked for that exist, or would exist by now had check mode not kept us from making them."""
    settings: dict[str, Setting] = field(default_factory=dict)
    """Of the settings asked for those that the server knows, by their name in lower case."""
    acls: dict[str, DatabaseAcls] = field(default_factory=dict)
    """Databases in which privileges are declared, as far as these were asked for."""
    unmanaged: dict[str, list[str]] = field(default_factory=dict)
    """Where it was asked for: databases, users and roles that nobody declares."""
    access: dict[TableName, Access | DbopsError] = field(default_factory=dict)
    """Tables that somebody asked about, or why they could not be read."""
    others: Callable[[str, tuple[str, str]], list[Declaration]] = lambda _grantee, _own: []
    """What all declarations but one's own (thing and name) give to a role: by the ledger, and by the list that is
    worked on. Only asked where something is to be taken away."""
    circles: frozenset[tuple[str, str]] = frozenset()
    """Members and roles that are to get each other: the second is already a member of the first."""
    scripted: frozenset[str] = frozenset()
    """Databases whose content a script of theirs would have changed by now, had check mode not kept us from it."""
    ledger_problem: str | None = None
    """Why ownership can not be recorded on this server; None where it is or could be."""
