# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: what the server as a whole knows about itself, and our account.

Called by mysql/server.py with a session; gives the plain values of state.py. Accounts are read by
catalog_accounts.py, databases by catalog_databases.py, privileges by catalog_grants.py.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    catalog_accounts,
    catalog_grants,
    dialects,
    versions,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    AccountName,
    Admin,
    Facts,
    Reader,
    Target,
)

# Which of them there are differs between versions; asking for one that is not there would be an error.
_VARIABLES = """
SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'server_uuid', 'read_only',
  'super_read_only', 'innodb_read_only', 'lower_case_table_names', 'partial_revokes', 'log_bin',
  'log_bin_trust_function_creators', 'caching_sha2_password_digest_rounds', 'activate_all_roles_on_login',
  'character_set_server', 'collation_server')
"""
_SESSION = "SELECT CURRENT_USER(), CONNECTION_ID(), @@sql_mode"
_REPLICATES = {
    # The channels of a group replication are open on its primary as well.
    "mysql": "SELECT COUNT(*) FROM performance_schema.replication_connection_status"
    " WHERE SERVICE_STATE = 'ON' AND CHANNEL_NAME NOT LIKE 'group|_replication|_%' ESCAPE '|'",
    "mariadb": "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Slave_IO', 'Slave_SQL')",
}
_ACTIVE_ROLES = "SELECT CURRENT_ROLE()"


def facts(session: Session) -> Facts:
    """Read the server's facts and what our account may do. Raises DbopsError, with Unsupported for another server."""
    found = dict(session.rows(_VARIABLES))
    ((me, connection_id, sql_mode),) = session.rows(_SESSION)
    version = found["version"]
    flavour = versions.flavour_of(version, found.get("version_comment", ""))
    number = versions.number_of(version)
    if flavour is None or number < versions.OLDEST[flavour]:
        text = f"{version} is not served; MySQL 8.0 and MariaDB 10.6, and newer ones, are"
        raise DbopsError(Reason.UNSUPPORTED, text, field="engine")
    dialect = dialects.of(flavour, number)

    def on(name: str) -> bool:
        # MariaDB 12 and newer have read_only in several steps; everything but OFF forbids something.
        return found.get(name, "OFF") not in ("OFF", "0")

    return Facts(
        version=version,
        dialect=dialect,
        identity=found.get("server_uuid"),
        admin=_admin(session, AccountName(*me.rsplit("@", 1)), dialect),
        read_only=on("read_only") or on("innodb_read_only"),
        super_read_only=on("super_read_only") or on("innodb_read_only"),
        replica=_replicates(session, flavour),
        lower_case_table_names=int(found["lower_case_table_names"]),
        partial_revokes=on("partial_revokes"),
        binary_log=on("log_bin"),
        trusts_function_creators=on("log_bin_trust_function_creators"),
        digest_rounds=int(found.get("caching_sha2_password_digest_rounds", 5000)),
        activates_roles=on("activate_all_roles_on_login"),
        charset=found["character_set_server"],
        collation=found["collation_server"],
        # A pooler makes up the number of the session, and drops or overwrites what we pinned.
        pooler=connection_id % 2**32 != session.handshake_id or "NO_BACKSLASH_ESCAPES" not in sql_mode,
    )


def _replicates(session: Reader, flavour: str) -> bool:
    try:
        return bool(session.rows(_REPLICATES[flavour])[0][0])
    except DbopsError as error:
        # Not everybody may see it; read_only is what decides.
        if error.reason is not Reason.PRIVILEGE_MISSING:
            raise
        return False


def _admin(session: Reader, name: AccountName, dialect: dialects.Dialect) -> Admin:
    """Read what our account may do, what its active roles add included."""
    try:
        active = _with_their_roles(session, _active_roles(session, dialect.flavour), dialect.flavour)
        known = {name, *(AccountName(one, "") for one in dialect.everybody)} | active
        held = catalog_grants.of_users(session, {one.user for one in known}, dialect)
        administered = administers(session, frozenset({name} | active), dialect)
    except DbopsError as error:
        if error.reason is not Reason.PRIVILEGE_MISSING:
            raise
        return Admin(name=name, accounts_problem=error.message)
    together: dict[Target, frozenset[str]] = {}
    for one in known:
        for target, words in held.get(one, {}).items():
            together[target] = together.get(target, frozenset()) | words
    return Admin(
        name=name,
        privileges=together,
        acts_as=frozenset({name} | active),
        administers=administered,
        reads_accounts=True,
    )


def administers(session: Reader, accounts: frozenset[AccountName], dialect: dialects.Dialect) -> frozenset[AccountName]:
    """Read which roles these ACCOUNTS, ours and those active with it, may give on."""
    rows = catalog_accounts.roles(session, {one.user for one in accounts}, dialect.flavour)
    return frozenset(grant.role for one in accounts for grant in rows.get(one, ()) if grant.admin)


def _active_roles(session: Reader, flavour: str) -> set[AccountName]:
    ((text,),) = session.rows(_ACTIVE_ROLES)
    if not text or text == "NONE":
        return set()
    return {AccountName(text, "")} if flavour == "mariadb" else set(catalog_accounts.names_in(text))


def _with_their_roles(session: Reader, roles: set[AccountName], flavour: str) -> set[AccountName]:
    """Give ROLES and those that they have in turn, which are active with them."""
    known, new = set(roles), set(roles)
    while new:
        rows = catalog_accounts.roles(session, {one.user for one in new}, flavour)
        new = {grant.role for one in new for grant in rows.get(one, ())} - known
        known |= new
    return known
