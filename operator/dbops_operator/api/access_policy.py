# SPDX-License-Identifier: GPL-3.0-or-later
"""Which namespaces may use an instance, and what they may ask for.

A block of the instances' spec; the resolver's access check reads it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.model import Block, Int32

ConsumerKind = Literal[
    "Database",
    "DatabaseUser",
    "DatabaseRole",
    "DatabaseGrant",
    "DatabaseBackup",
    "DatabaseBackupSchedule",
    "DatabaseRestore",
]
RoleAttribute = Literal["superuser", "createDB", "createRole", "replication", "bypassRLS"]
Quota = Annotated[Int32 | None, Field(ge=0)]


class LabelRequirement(Block):
    """One condition on a label."""

    key: str
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How its value is compared."""
    values: list[str] | None = None
    """Values, for In and NotIn."""


class LabelSelector(Block):
    """Namespaces by label, as Kubernetes selects everywhere; all conditions must hold."""

    match_labels: dict[str, str] | None = None
    """Labels with exactly these values."""
    match_expressions: list[LabelRequirement] | None = None
    """Further conditions."""


class AllowedNamespaces(Block):
    """Namespaces that are named or selected; an empty block admits none."""

    names: list[str] | None = None
    """Namespaces by name; "*" means every one."""
    selector: LabelSelector | None = None
    """Namespaces by label."""


class Ceiling(Block):
    """What objects of the admitted namespaces may ask for at most. What is not listed is refused."""

    role_attributes: list[RoleAttribute] | None = None
    """Attributes that their logins and roles may have; none by default."""
    roles: list[str] | None = None
    """Roles on the server that their logins may join beside the namespace's own; none by default."""
    extensions: list[str] | None = None
    """Extensions that their databases may have; by default those that the server calls trusted."""
    config_parameters: list[str] | None = None
    """Settings that their logins may carry; none by default."""
    global_privileges: list[str] | None = None
    """Privileges on the whole server that they may be granted; none by default."""


class Quotas(Block):
    """How many objects each admitted namespace may have on this server; without a number there is no limit."""

    databases: Quota = None
    """Databases per namespace."""
    users: Quota = None
    """Logins per namespace."""
    roles: Quota = None
    """Roles per namespace."""


class AccessPolicy(Block):
    """Who may use the server, beside the DatabaseInstance's own namespace."""

    namespaces: AllowedNamespaces | None = None
    """Namespaces that may use it; without this none but the DatabaseInstance's own."""
    kinds: list[ConsumerKind] | None = None
    """Kinds of objects that they may have here; without this all."""
    name_patterns: list[str] | None = None
    """Names on the server that they may use, such as "{namespace}_*": {namespace} stands for the namespace with hyphens
    replaced by underscores, * for any text. Without this any name that is free."""
    ceiling: Ceiling | None = None
    """What they may ask for at most; without this what its defaults admit."""
    quotas: Quotas | None = None
    """How many objects each namespace may have."""
