#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_user
short_description: Keep a login as declared, or drop it
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Creates a login and keeps its password, attributes, settings and memberships as declared.
  - Options that are not given are neither set nor compared; V(false) and V(0) are values.
  - A PostgreSQL password reaches the server as a SCRAM-SHA-256 verifier, one of MySQL and MariaDB as the hash that
    the server keeps; never as text.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
  - dbprovision.dbops.ownership
options:
  name:
    description:
      - Name of the login, any characters; at most 63 bytes on PostgreSQL, 32 characters on MySQL, 80 on MariaDB.
    type: str
    required: true
    aliases: [user]
  state:
    description:
      - Whether it shall exist. On PostgreSQL one that owns objects is only dropped with O(reassign_owned_to).
      - On MySQL and MariaDB one that is the definer of views, routines, triggers or events is not dropped. They go on
        working while it is locked (O(account_locked)).
    type: str
    choices: [present, absent]
    default: present
  password:
    description: Its password.
    type: str
  update_password:
    description: Whether O(password) is kept as declared, or only set when the login is created.
    type: str
    choices: [always, on_create]
    default: always
  verify_login:
    description: Log in with O(name) and O(password) afterwards, and say in RV(credentials) whether that worked.
    type: bool
    default: false
  login:
    description: PostgreSQL, whether it may log in.
    type: bool
    default: true
  superuser:
    description: PostgreSQL, whether it is a superuser.
    type: bool
  create_db:
    description: PostgreSQL, whether it may create databases.
    type: bool
  create_role:
    description: PostgreSQL, whether it may create roles.
    type: bool
  inherit:
    description: PostgreSQL, whether it has the privileges of the roles that it is a member of without C(SET ROLE).
    type: bool
  replication:
    description: PostgreSQL, whether it may start replication.
    type: bool
  bypass_rls:
    description: PostgreSQL, whether row-level security does not apply to it.
    type: bool
  connection_limit:
    description: PostgreSQL, how many sessions it may have; V(-1) for no limit, V(0) for none.
    type: int
    aliases: [conn_limit]
  valid_until:
    description: PostgreSQL, when its password expires, as RFC 3339; V(infinity) for never.
    type: str
    aliases: [expires]
  config_parameters:
    description: PostgreSQL, settings of its sessions. Those set here before and no longer declared are reset.
    type: dict
  default_role:
    description: PostgreSQL, the role that its sessions begin with.
    type: str
  in_roles:
    description: The roles that it is a member of, exactly, apart from those that a grant declares.
    type: list
    elements: str
  allowed_hosts:
    description:
      - MySQL and MariaDB, the hosts that it may log in from, each an account of its own; without it, V(%).
      - Accounts of the same name for other hosts are dropped when this is given.
    type: list
    elements: str
  plugin:
    description:
      - MySQL and MariaDB, how it proves itself. Without it V(caching_sha2_password) on MySQL, and
        V(mysql_native_password) on MariaDB.
    type: str
    choices: [caching_sha2_password, sha256_password, mysql_native_password, ed25519]
  require_ssl:
    description: MySQL and MariaDB, whether it must log in with TLS.
    type: bool
  require_x509:
    description: MySQL and MariaDB, whether it must log in with a client certificate.
    type: bool
  max_queries_per_hour:
    description: MySQL and MariaDB, how many queries it may send in an hour; V(0) for no limit.
    type: int
  max_updates_per_hour:
    description: MySQL and MariaDB, how many updates it may send in an hour; V(0) for no limit.
    type: int
  max_connections_per_hour:
    description: MySQL and MariaDB, how often it may connect in an hour; V(0) for no limit.
    type: int
  max_user_connections:
    description: MySQL and MariaDB, how many sessions it may have; V(0) for the server's own limit.
    type: int
  account_locked:
    description: MySQL and MariaDB, whether it is locked.
    type: bool
  failed_login_attempts:
    description: MySQL, after how many wrong passwords in a row it is locked; V(0) for never.
    type: int
  password_lock_time:
    description: MySQL, for how many days it is locked then; V(-1) until somebody unlocks it.
    type: int
  password_lifetime:
    description: MySQL and MariaDB, after how many days its password expires; V(0) for never.
    type: int
  retain_current_password:
    description: MySQL, let the old password work beside a new one until O(discard_old_password).
    type: bool
    default: false
  discard_old_password:
    description: MySQL, end the old password that O(retain_current_password) kept.
    type: bool
    default: false
  reassign_owned_to:
    description: PostgreSQL, when it is dropped, who gets what it owns, in every database.
    type: str
  end_sessions:
    description: When it is dropped, locked with O(account_locked), or may not log in by O(login), end its sessions.
    type: bool
    default: true
seealso:
  - module: community.postgresql.postgresql_user
"""

EXAMPLES = r"""
- name: A login for an application, tried out
  dbprovision.dbops.database_user:
    name: orders_app
    password: "{{ orders_app_password }}"
    verify_login: true
    connection_limit: 20
    config_parameters:
      search_path: sales, public

- name: Drop it; what it owns goes to the owner of the database
  dbprovision.dbops.database_user:
    name: orders_app
    state: absent
    reassign_owned_to: orders_owner
"""

RETURN = r"""
user:
  description:
    - What is there afterwards. C(exists), C(name), C(created), its attributes, and C(in_roles); C(adopted) when
      this run took it over; when a drop is refused, C(owned_objects) as well.
  returned: always
  type: dict
  sample:
    exists: true
    name: orders_app
    created: true
credentials:
  description:
    - Whether a login just worked. C(status) is V(True), V(False), or V(Unknown) where none can be tried from here.
  returned: when O(verify_login) and O(password) are given, and not in check mode
  type: dict
  sample:
    status: "True"
queries:
  description: The statements that were sent, or in check mode would be, secrets masked.
  returned: always
  type: list
  elements: str
  sample: ['CREATE ROLE "app" LOGIN']
reason:
  description: Why it failed, from a fixed list that scripts can rely on, such as V(PrivilegeMissing).
  returned: on failure
  type: str
  sample: AuthenticationFailed
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: owner
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import module


def main() -> None:
    module.run_single(AnsibleModule, "database_user")


if __name__ == "__main__":
    main()
