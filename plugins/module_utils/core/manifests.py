# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a `converge` list in, the custom resources that mean the same to the operator out; pure.

Called by core.task for the module database_export. The operator reads a resource's fields back into the same
options, so each table here is the inverse of a mapping there. The API admits fewer names than servers do, and has no
words for some options: what it cannot say is left out, with a warning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

API_VERSION = "dbops.dbprovision.io/v1alpha1"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")
_MOST_PRIVILEGES = 20
_LABEL = 63
"""Most characters of a name that may become a label."""
_KINDS = {
    "database": "Database",
    "database_user": "DatabaseUser",
    "database_role": "DatabaseRole",
    "database_grant": "DatabaseGrant",
}
_Fields = Mapping[str, str]
_POSTGRES: dict[str, _Fields] = {
    "database": {
        "encoding": "encoding",
        "lc_collate": "lcCollate",
        "lc_ctype": "lcCtype",
        "template": "template",
        "tablespace": "tablespace",
        "connection_limit": "connectionLimit",
        "is_template": "isTemplate",
        "allow_connections": "allowConnections",
        "extensions": "extensions",
        "schemas": "schemas",
        "default_privileges": "defaultPrivileges",
    },
    "database_user": {
        "superuser": "superuser",
        "create_db": "createDB",
        "create_role": "createRole",
        "inherit": "inherit",
        "replication": "replication",
        "bypass_rls": "bypassRLS",
        "connection_limit": "connectionLimit",
        "valid_until": "validUntil",
        "in_roles": "inRoles",
        "config_parameters": "configParameters",
        "default_role": "defaultRole",
    },
    "database_role": {
        "superuser": "superuser",
        "create_db": "createDB",
        "create_role": "createRole",
        "inherit": "inherit",
        "replication": "replication",
        "bypass_rls": "bypassRLS",
        "in_roles": "inRoles",
    },
    "database_grant": {"roles": "roles", "grants": "grants", "default_privileges": "defaultPrivileges"},
}
_MYSQL: dict[str, _Fields] = {
    "database": {"encoding": "charset", "collation": "collation"},
    "database_user": {
        "allowed_hosts": "allowedHosts",
        "plugin": "authPlugin",
        "require_ssl": "requireSSL",
        "require_x509": "requireX509",
        "max_queries_per_hour": "maxQueriesPerHour",
        "max_updates_per_hour": "maxUpdatesPerHour",
        "max_connections_per_hour": "maxConnectionsPerHour",
        "max_user_connections": "maxUserConnections",
        "account_locked": "accountLocked",
        "failed_login_attempts": "failedLoginAttempts",
        "password_lock_time": "passwordLockTime",
    },
    "database_role": {"native": "useNativeRoles"},
    "database_grant": {"roles": "roles", "grants": "grants"},
}
_SPEC: dict[str, _Fields] = {
    "database": {"name": "name", "owner": "owner"},
    "database_user": {"name": "username"},
    "database_role": {"name": "roleName"},
    "database_grant": {},
}
_ENTRY = {
    "object_type": "objectType",
    "granted_by": "grantedBy",
    "grant_option": "withGrantOption",
}
"""Fields of entries of lists that are not called as their options."""
_NO_FIELD = {("postgres", "grants"): ("columns",)}
"""Options of entries that the API does not have, by the engine's block and the list."""
_NO_VALUE = {"plugin": "ed25519"}
"""Values that the API does not have."""


@dataclass
class Manifests:
    """Custom resources, and what could not be said in them."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def manifests(
    objects: Sequence[Mapping[str, Any]], *, engine: str, instance: str, namespace: str | None = None
) -> Manifests:
    """Give OBJECTS of a server of ENGINE as resources in NAMESPACE that refer to the DatabaseInstance INSTANCE."""
    return _Writing(engine, instance, namespace).all(objects)


@dataclass
class _Writing:
    """The resources of one export while they are written."""

    engine: str
    instance: str
    namespace: str | None
    made: Manifests = field(default_factory=Manifests)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    """metadata.name of accounts, by kind and name on the server."""
    taken: set[tuple[str, str]] = field(default_factory=set)

    @property
    def block(self) -> str:
        """The block of a spec that is for this engine."""
        return "postgres" if self.engine == "postgres" else "mysql"

    def all(self, objects: Iterable[Mapping[str, Any]]) -> Manifests:
        """Write accounts and databases before the grants that refer to them."""
        for one in sorted(objects, key=lambda one: one["kind"] == "database_grant"):
            if one["kind"] == "database_grant":
                self._grant(one)
            else:
                self._object(one)
        return self.made

    def _object(self, one: Mapping[str, Any]) -> None:
        kind, name = one["kind"], one["name"]
        if not all(_NAME.fullmatch(text) for text in (name, one.get("owner") or name)):
            self._warn(one, "the API admits only letters, digits and underscores in names, so it is left out")
            return
        called = self.names[kind, name] = self._called(kind, name)
        spec: dict[str, Any] = {"instanceRef": {"name": self.instance}}
        spec |= {field: one[option] for option, field in _SPEC[kind].items() if option in one}
        roles = "roles" if kind == "database_user" and self.block == "mysql" else None
        if roles and "in_roles" in one:
            spec[roles] = list(one["in_roles"])
        self._add(one, called, spec | self._engine_block(one, beside=(*_SPEC[kind], *(("in_roles",) if roles else ()))))

    def _grant(self, one: Mapping[str, Any]) -> None:
        word = "user" if "user" in one else "role"
        target = self.names.get((f"database_{word}", one[word]))
        if target is None:
            self._warn(one, f"{one[word]} is no resource of this export, so its grants are left out")
            return
        spec: dict[str, Any] = {f"{word}Ref": {"name": target}}
        called = self._called("database_grant", one[word])
        self._add(one, called, spec | self._engine_block(one, beside=("user", "role")))

    def _engine_block(self, one: Mapping[str, Any], *, beside: Iterable[str]) -> dict[str, Any]:
        """Give the block with all options but those that stand BESIDE it; nothing where there are none."""
        fields = (_POSTGRES if self.block == "postgres" else _MYSQL)[one["kind"]]
        known = {"kind", *beside, *fields}
        for option in one.keys() - known:
            self._warn(one, f"{option} has no field in the API")
        said = [name for name in fields if name in one and one[name] != _NO_VALUE.get(name)]
        for name in one.keys() & fields.keys() - set(said):
            self._warn(one, f"{name} {one[name]} is no value of the API")
        content = {fields[name]: self._value(one, name) for name in said}
        # A MySQL role without its block would be a locked account.
        needed = self.block == "mysql" and one["kind"] == "database_role"
        return {self.block: content} if content or needed else {}

    def _value(self, one: Mapping[str, Any], option: str) -> Any:
        value = one[option]
        if not isinstance(value, list) or not value or not isinstance(value[0], Mapping):
            return value
        unknown = _NO_FIELD.get((self.block, option), ())
        found = []
        for entry in _as_the_api(value):
            lacking = [name for name in unknown if name in entry]
            if one["kind"] == "database" and option == "default_privileges" and "granted_by" in entry:
                lacking.append("granted_by")
            if lacking:
                self._warn(one, f"an entry of {option} is left out, since the API has no field for {lacking[0]}")
            else:
                found.append({_ENTRY.get(name, name): part for name, part in entry.items()})
        return found

    def _called(self, kind: str, name: str) -> str:
        """Give a metadata.name: lower case, as RFC 1123 has it, and no other object's of that kind."""
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        called = plain[:_LABEL].strip("-")
        if not called or called != plain or (kind, called) in self.taken:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            called = f"{called[: _LABEL - 9]}-{digest}".strip("-")
        self.taken.add((kind, called))
        return called

    def _add(self, one: Mapping[str, Any], called: str, spec: Mapping[str, Any]) -> None:
        metadata = {"name": called} | ({"namespace": self.namespace} if self.namespace else {})
        self.made.resources.append(
            {"apiVersion": API_VERSION, "kind": _KINDS[one["kind"]], "metadata": metadata, "spec": dict(spec)}
        )

    def _warn(self, one: Mapping[str, Any], text: str) -> None:
        name = next(one[word] for word in ("name", "user", "role") if word in one)
        self.made.warnings.append(f"{one['kind']} {name}: {text}")


def _as_the_api(entries: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Give entries with privileges as the API takes them: in words, and so many at a time."""
    for entry in entries:
        words = [word.replace("_", " ") for word in entry.get("privileges", ())]
        if not words:
            yield entry
        for start in range(0, len(words), _MOST_PRIVILEGES):
            yield {**entry, "privileges": words[start : start + _MOST_PRIVILEGES]}
