# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may use whose Secrets, instances and names: the decisions of the namespace boundary, without any I/O.

resolve.py and the reconcilers ask before they use anything that an object names. The default answer is no; consent
lies with the owner: an annotation `allow-from` on a Secret or an instance, or an instance's access policy. Raises
DbopsError with AccessDenied (or InvalidSpec for what nobody could mean).
"""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import annotation
from dbops_operator.api.access_policy import AccessPolicy, Ceiling, LabelSelector
from dbops_operator.api.database import DatabaseSpec
from dbops_operator.api.database_grant import DatabaseGrantSpec
from dbops_operator.api.database_restore import DatabaseRestoreSpec
from dbops_operator.api.database_role import DatabaseRoleSpec, PostgresRole
from dbops_operator.api.database_user import DatabaseUserSpec, PostgresUser
from dbops_operator.api.privileges import MySQLGrant
from dbops_operator.api.variables import memberships
from dbops_operator.rotation import Wishes
from dbops_operator.settings import CrossNamespace, Settings

Body = Mapping[str, Any]

STATE_LABEL = "dbops.dbprovision.io/state-of"
"""On the operator's own state Secrets, which no object may ever read by reference."""

# Extensions that PostgreSQL 14 to 18 mark as trusted: any owner of a database may install them.
TRUSTED_EXTENSIONS = frozenset(
    (
        *("bool_plperl", "btree_gin", "btree_gist", "citext", "cube", "dict_int", "fuzzystrmatch", "hstore"),
        *("intarray", "isn", "jsonb_plperl", "lo", "ltree", "pg_trgm", "pgcrypto", "plperl", "plpgsql", "pltcl"),
        *("seg", "tablefunc", "tcn", "tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp"),
    )
)
# Databases that every server has and nobody keeps data in.
_TEMPLATES = frozenset({"", "template0", "template1"})
_ATTRIBUTES = ("superuser", "createDB", "createRole", "replication", "bypassRLS")


def consents(body: Body, *, namespace: str, host: str = "") -> bool:
    """Whether BODY's annotation `allow-from` names NAMESPACE ("" for a cluster-scoped reader), for this HOST."""
    for word in annotation.words(body, annotation.ALLOW_FROM):
        who, at, where = word.partition("@")
        if at and where.lower() != host.lower():
            continue
        if who == "*" or who == (namespace or "cluster"):
            return True
    return False


def check_secret(secret: Body, *, reader: str, host: str, settings: Settings) -> None:
    """Refuse a Secret of another namespace without consent; READER is the instance's namespace, "" for cluster."""
    metadata = secret["metadata"]
    require_not_ours(secret)
    if metadata["namespace"] == reader or is_open(settings):
        return
    if not reader and metadata["namespace"] == settings.operator_namespace:
        return
    if not consents(secret, namespace=reader, host=host):
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"Secret {metadata['namespace']}/{metadata['name']} does not consent to being used from {_reader(reader)}: "
            f"annotate it {annotation.ALLOW_FROM}={reader or 'cluster'}",
        )


def check_used_secret(secret: Body, *, reader: str, host: str, settings: Settings) -> None:
    """Refuse a Secret of another namespace than READER for a store at HOST or a backup's key, without consent."""
    metadata = secret["metadata"]
    require_not_ours(secret)
    if metadata["namespace"] == reader or is_open(settings) or consents(secret, namespace=reader, host=host):
        return
    raise DbopsError(
        Reason.ACCESS_DENIED,
        f"Secret {metadata['namespace']}/{metadata['name']} does not consent to being used from {_reader(reader)}: "
        f"annotate it {annotation.ALLOW_FROM}={reader}",
    )


def require_not_ours(found: Body) -> None:
    """Refuse the Secrets in which the operator keeps passwords."""
    metadata = found["metadata"]
    if STATE_LABEL in (metadata.get("labels") or {}):
        text = f"Secret {metadata['namespace']}/{metadata['name']} is the operator's own"
        raise DbopsError(Reason.ACCESS_DENIED, text)


def is_open(settings: Settings) -> bool:
    """Whether references across namespaces need no consent."""
    return settings.cross_namespace is CrossNamespace.OPEN


def _reader(namespace: str) -> str:
    return f"namespace {namespace}" if namespace else "cluster-scoped objects"


def check_host(host: str) -> None:
    """Refuse a host that libpq would take for something else: a socket's folder, a list, a connection string."""
    if host.startswith(("/", "@")) or any(character in host for character in ", \t\n'\"\\=") or "\0" in host:
        raise DbopsError(
            Reason.INVALID_SPEC, "spec.connection.host is one host name or IP address", field="spec.connection.host"
        )


def check_addresses(
    addresses: Iterable[str],
    *,
    port: int,
    api_addresses: Collection[str],
    settings: Settings,
    field: str = "spec.connection.host",
) -> None:
    """Refuse a server at a link-local address, at the API server's, or (in a cluster) at a loopback address.

    ADDRESSES and API_ADDRESSES are what the names resolve to; FIELD is where the name stands.
    """
    api_port = urlsplit(settings.api_server).port or 443
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if address.is_link_local and not settings.allow_link_local:
            raise _refused(field, "resolves to a link-local address")
        # A connection to the unspecified address ends at this host.
        if (address.is_loopback or address.is_unspecified) and not settings.allow_loopback:
            raise _refused(field, "resolves to a loopback address")
        if address.is_multicast:
            raise _refused(field, "resolves to an address that is no server's")
        if str(address) in api_addresses and port == api_port and not settings.allow_api_server:
            raise _refused(field, "is the API server of this cluster")


def _refused(field: str, why: str) -> DbopsError:
    return DbopsError(Reason.ACCESS_DENIED, f"{field} {why}, which is refused", field=field)


@dataclass(frozen=True)
class Consumer:
    """An object that wants to use an instance. `labels` are those of its namespace."""

    kind: str
    namespace: str
    labels: Mapping[str, str]


def is_foreign(instance: Body, consumer: Consumer) -> bool:
    """Whether CONSUMER lives outside the instance's own namespace (always so for a cluster-scoped instance)."""
    return str(instance["metadata"].get("namespace", "")) != consumer.namespace


def check_instance(instance: Body, policy: AccessPolicy | None, consumer: Consumer, *, settings: Settings) -> None:
    """Refuse the use of an instance of another namespace that consents neither by policy nor by annotation."""
    if not is_foreign(instance, consumer) or settings.cross_namespace is CrossNamespace.OPEN:
        return
    cluster_scoped = not instance["metadata"].get("namespace")
    if policy is None and cluster_scoped:
        return
    admitted = policy is not None and admits(policy, consumer)
    if not admitted and not (not cluster_scoped and consents(instance, namespace=consumer.namespace)):
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"{instance['kind']} {instance['metadata']['name']} does not serve namespace {consumer.namespace}: "
            "its owner can admit it in spec.accessPolicy.namespaces",
        )
    if policy and policy.kinds is not None and consumer.kind not in policy.kinds:
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"the access policy of {instance['kind']} {instance['metadata']['name']} admits no {consumer.kind}",
        )


def admits(policy: AccessPolicy, consumer: Consumer) -> bool:
    """Whether the policy's namespaces name or select the consumer's."""
    allowed = policy.namespaces
    if allowed is None:
        return False
    names = allowed.names or ()
    return (
        "*" in names
        or consumer.namespace in names
        or (allowed.selector is not None and selects(allowed.selector, consumer.labels))
    )


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches, as Kubernetes reads it; one without any condition matches everything."""
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    for one in selector.match_expressions or ():
        value, values = labels.get(one.key), one.values or ()
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[one.operator]
        if not holds:
            return False
    return True


@dataclass(frozen=True)
class Limits:
    """What an object of another namespace is measured against."""

    namespace: str
    policy: AccessPolicy | None
    own_names: frozenset[str]
    """Logins and roles of the namespace on that server."""
    own_databases: frozenset[str] = frozenset()
    """Databases of the namespace on that server."""
    awaited: frozenset[str] = frozenset()
    """Logins and roles that objects of the namespace declare there, and that are not (yet) known to be its own."""
    awaited_databases: frozenset[str] = frozenset()
    """The same of databases."""

    @property
    def ceiling(self) -> Ceiling:
        """The policy's ceiling, or the default one, which admits nothing beyond the ordinary."""
        return (self.policy and self.policy.ceiling) or Ceiling()


def check_database(spec: DatabaseSpec, limits: Limits) -> None:
    """Refuse what a Database of another namespace must not ask for."""
    _check_name(spec.name, limits, field="spec.name")
    _check_role(spec.owner, limits, field="spec.owner")
    block = spec.postgres
    if not block:
        return
    if block.template not in _TEMPLATES | limits.own_databases:
        # A copy holds all that is in its template.
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"database {block.template} is not of namespace {limits.namespace}, so it cannot be copied from there",
            field="spec.postgres.template",
        )
    trusted = limits.ceiling.extensions if limits.ceiling.extensions is not None else TRUSTED_EXTENSIONS
    for extension in block.extensions or ():
        if extension.name not in trusted:
            raise _above(f"extension {extension.name}", "extensions", field="spec.postgres.extensions")
    if block.ownership:
        # Names that follow from the database's own are as good as that.
        for field, name in (("roleName", block.ownership.role_name), ("userName", block.ownership.user_name)):
            if name:
                _check_name(name, limits, field=f"spec.postgres.ownership.{field}")
    for schema in block.schemas or ():
        _check_role(schema.owner, limits, field="spec.postgres.schemas")
    for privilege in block.default_privileges or ():
        _check_role(privilege.role, limits, field="spec.postgres.defaultPrivileges")


def check_user(spec: DatabaseUserSpec, limits: Limits) -> None:
    """Refuse what a DatabaseUser of another namespace must not ask for."""
    _check_name(spec.username, limits, field="spec.username")
    for role in memberships(spec, "postgres") or ():
        _check_role(role, limits, field="spec.postgres.inRoles")
    block = spec.postgres
    if not block:
        return
    _check_attributes(block, limits)
    for name in block.config_parameters or ():
        if name.lower() not in {one.lower() for one in limits.ceiling.config_parameters or ()}:
            raise _above(f"the setting {name}", "configParameters", field="spec.postgres.configParameters")
    _check_role(block.default_role, limits, field="spec.postgres.defaultRole")


def check_rotation(wanted: Wishes, limits: Limits, *, login: str) -> None:
    """Refuse names that the rotation of a DatabaseUser of another namespace must not have."""
    field = "spec.passwordRotation"
    # Names that begin with the user's own are as good as that.
    if not login.startswith(wanted.username):
        _check_name(login, limits, field=f"{field}.userNaming")
    if not wanted.twins:
        return
    if not wanted.makes_role:
        _check_role(wanted.service_role, limits, field=f"{field}.serviceRole.name")
    elif wanted.service_role != f"svc_{wanted.username}":
        _check_name(wanted.service_role, limits, field=f"{field}.serviceRole.name")


def check_role(spec: DatabaseRoleSpec, limits: Limits) -> None:
    """Refuse what a DatabaseRole of another namespace must not ask for."""
    _check_name(spec.role_name, limits, field="spec.roleName")
    _check_mysql_grants((spec.mysql and spec.mysql.grants) or (), limits)
    block = spec.postgres
    if not block:
        return
    _check_attributes(block, limits)
    for role in block.in_roles or ():
        _check_role(role, limits, field="spec.postgres.inRoles")
    for one in block.grants or ():
        _check_database(one.database, limits, field="spec.postgres.grants")


def check_grant(spec: DatabaseGrantSpec, limits: Limits) -> None:
    """Refuse what a DatabaseGrant of another namespace must not ask for."""
    for role in (spec.mysql and spec.mysql.roles) or ():
        _check_role(role, limits, field="spec.mysql.roles")
    _check_mysql_grants((spec.mysql and spec.mysql.grants) or (), limits)
    block = spec.postgres
    if not block:
        return
    for role in block.roles or ():
        _check_role(role, limits, field="spec.postgres.roles")
    for one in block.grants or ():
        _check_database(one.database, limits, field="spec.postgres.grants")
    for default in block.default_privileges or ():
        _check_database(default.database, limits, field="spec.postgres.defaultPrivileges")
        _check_role(default.granted_by, limits, field="spec.postgres.defaultPrivileges")


def check_restore(spec: DatabaseRestoreSpec, limits: Limits) -> None:
    """Refuse what a DatabaseRestore of another namespace must not ask for."""
    name = spec.target.database_name
    if not name:
        text = "spec.target.databaseName must be given for an instance of another namespace"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.target.databaseName")
    if name not in limits.own_databases:
        _check_name(name, limits, field="spec.target.databaseName")
    for role in ((spec.postgres and spec.postgres.role_mapping) or {}).values():
        _check_role(role, limits, field="spec.postgres.roleMapping")


def check_reference(found: Body, *, reader: str, settings: Settings) -> None:
    """Refuse an object of another namespace that does not consent to being named from namespace READER."""
    metadata = found["metadata"]
    namespace = metadata.get("namespace", "")
    if namespace == reader or is_open(settings) or consents(found, namespace=reader):
        return
    raise DbopsError(
        Reason.ACCESS_DENIED,
        f"{found['kind']} {namespace}/{metadata['name']} does not consent to being named from namespace {reader}: "
        f"annotate it {annotation.ALLOW_FROM}={reader}",
    )


def check_quota(policy: AccessPolicy | None, *, kind: str, namespace: str, before: int) -> None:
    """Refuse one more object of a KIND than the policy admits to each namespace; BEFORE are those that were earlier."""
    quotas = policy.quotas if policy else None
    limit = getattr(quotas, _QUOTAS[kind]) if quotas and kind in _QUOTAS else None
    if limit is not None and before >= limit:
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"namespace {namespace} may have {limit} {_QUOTAS[kind]} on this instance, and has as many that are older: "
            f"see its spec.accessPolicy.quotas.{_QUOTAS[kind]}",
        )


_QUOTAS = {"Database": "databases", "DatabaseUser": "users", "DatabaseRole": "roles"}


def _check_mysql_grants(grants: Iterable[MySQLGrant], limits: Limits) -> None:
    allowed = {name.upper() for name in limits.ceiling.global_privileges or ()}
    for one in grants:
        if one.level != "global":
            _check_database(one.database or "", limits, field="spec.mysql.grants")
            continue
        for privilege in one.privileges:
            if privilege.upper() not in allowed:
                raise _above(f"{privilege} on the whole server", "globalPrivileges", field="spec.mysql.grants")
        if one.with_grant_option and "GRANT OPTION" not in allowed:
            raise _above("GRANT OPTION on the whole server", "globalPrivileges", field="spec.mysql.grants")


def _check_attributes(block: PostgresUser | PostgresRole, limits: Limits) -> None:
    wanted = zip(
        _ATTRIBUTES,
        (block.superuser, block.create_db, block.create_role, block.replication, block.bypass_rls),
        strict=True,
    )
    for attribute, asked in wanted:
        if asked and attribute not in (limits.ceiling.role_attributes or ()):
            raise _above(attribute, "roleAttributes", field=f"spec.postgres.{attribute}")


def _check_database(name: str, limits: Limits, *, field: str) -> None:
    if name in limits.own_databases:
        return
    if name in limits.awaited_databases:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Waiting for the Database of {name} to be ready", field=field)
    raise DbopsError(Reason.ACCESS_DENIED, f"database {name} is not of namespace {limits.namespace}", field=field)


def _check_name(name: str, limits: Limits, *, field: str) -> None:
    patterns = limits.policy.name_patterns if limits.policy else None
    if patterns is None:
        return
    mine = limits.namespace.replace("-", "_")
    if not any(fnmatch.fnmatchcase(name, pattern.replace("{namespace}", mine)) for pattern in patterns):
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"the instance's access policy admits only names such as {', '.join(patterns)} from namespace "
            f"{limits.namespace}",
            field=field,
        )


def _check_role(name: str | None, limits: Limits, *, field: str) -> None:
    if not name or name in limits.own_names or name in (limits.ceiling.roles or ()):
        return
    if name in limits.awaited:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Waiting for the object of role {name} to be ready", field=field)
    raise DbopsError(
        Reason.ACCESS_DENIED,
        f"role {name} is neither of namespace {limits.namespace} nor listed in the instance's "
        "spec.accessPolicy.ceiling.roles",
        field=field,
    )


def _above(what: str, listed_in: str, *, field: str) -> DbopsError:
    return DbopsError(
        Reason.ACCESS_DENIED,
        f"{what} is more than the instance admits to other namespaces: see its spec.accessPolicy.ceiling.{listed_in}",
        field=field,
    )
