# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between MySQL and MariaDB, as data: one object for each server, by its engine and version.

Made by catalog.py from what the server says that it is, whatever the options call it; asked by the planners, so
that none of them compares the names of engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import privileges, versions

CACHING_SHA2 = "caching_sha2_password"
SHA256 = "sha256_password"
NATIVE = "mysql_native_password"
ED25519 = "ed25519"


@dataclass(frozen=True)
class Dialect:
    """An engine in one version."""

    flavour: str
    """`mysql` or `mariadb`."""
    title: str
    """What people call it, such as `MySQL 8.4`."""
    version_number: int
    user_characters: int
    """The longest name of an account."""
    role_characters: int
    trims_start: bool
    """Whether blanks are cut off at the start of a user's name as well."""
    default_plugin: str
    """What an account without a declared plugin gets."""
    plugins: Mapping[str, str | None]
    """Declared plugin to the server's own, None for whatever an account has or gets by default; one that is not here
    does not exist on this server."""
    identified: str
    """The clause that sets plugin and hash."""
    role_host: str
    """The host of a role: MySQL's are accounts for `%`, MariaDB's have none."""
    roles_are_accounts: bool
    """Whether a role is an account that nobody logs in as, so that any account can be given as a role."""
    several_default_roles: bool
    dual_password: bool
    failed_login_tracking: bool
    has_dynamic_privileges: bool
    """Whether components of the server bring privileges of their own."""
    highest_limit: int
    """Of resource limits."""
    connection_admin: str
    """The privilege that lets end the sessions of others."""
    system_accounts: frozenset[str]
    """Users that the server has for itself."""
    everybody: frozenset[str]
    """Roles whose privileges every account has."""

    def privileges_at(self, level: str) -> tuple[str, ...]:
        """Give the static privileges that there are at LEVEL."""
        return privileges.at_level(level, flavour=self.flavour, version_number=self.version_number)


def of(flavour: str, version_number: int) -> Dialect:
    """Give the dialect of a server."""
    return _mysql(version_number) if flavour == "mysql" else _mariadb(version_number)


def _mysql(version_number: int) -> Dialect:
    plugins: dict[str, str | None] = {CACHING_SHA2: CACHING_SHA2, SHA256: SHA256}
    if not versions.has(versions.NATIVE_PASSWORD_REMOVED, version_number):
        plugins[NATIVE] = NATIVE
    return Dialect(
        flavour="mysql",
        title=f"MySQL {versions.series(version_number)}",
        version_number=version_number,
        user_characters=32,
        role_characters=32,
        trims_start=True,
        default_plugin=CACHING_SHA2,
        plugins=plugins,
        identified=" IDENTIFIED WITH {} AS {}",
        role_host="%",
        roles_are_accounts=True,
        several_default_roles=True,
        dual_password=versions.has(versions.DUAL_PASSWORD, version_number),
        failed_login_tracking=versions.has(versions.FAILED_LOGIN, version_number),
        has_dynamic_privileges=True,
        highest_limit=4294967295,
        connection_admin="CONNECTION_ADMIN",
        system_accounts=frozenset({"mysql.sys", "mysql.session", "mysql.infoschema"}),
        everybody=frozenset(),
    )


def _mariadb(version_number: int) -> Dialect:
    return Dialect(
        flavour="mariadb",
        title=f"MariaDB {versions.series(version_number)}",
        version_number=version_number,
        user_characters=80,
        role_characters=128,
        trims_start=False,
        default_plugin=NATIVE,
        # The API writes MySQL's plugin into every declaration; on MariaDB it says nothing.
        plugins={CACHING_SHA2: None, SHA256: None, NATIVE: NATIVE, ED25519: ED25519},
        identified=" IDENTIFIED VIA {} USING {}",
        role_host="",
        roles_are_accounts=False,
        several_default_roles=False,
        dual_password=False,
        failed_login_tracking=False,
        has_dynamic_privileges=False,
        highest_limit=2147483647,
        connection_admin="CONNECTION ADMIN",
        system_accounts=frozenset({"mariadb.sys", "mysql.sys", "PUBLIC"}),
        everybody=frozenset({"PUBLIC"}),
    )
