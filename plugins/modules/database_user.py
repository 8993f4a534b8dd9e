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
  - A PostgreSQL password reaches the server as a SCRAM-SHA-256 verifier, never as text.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
  - dbprovision.dbops.ownership
options:
  name:
    description: Name of the login, any characters, at most 63 bytes.
    type: str
    required: true
    aliases: [user]
  state:
    description: Whether it shall exist. One that owns objects is only dropped with O(reassign_owned_to).
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
    description: Whether it may log in.
    type: bool
    default: true
  superuser:
    description: Whether it is a superuser.
    type: bool
  create_db:
    description: Whether it may create databases.
    type: bool
  create_role:
    description: Whether it may create roles.
    type: bool
  inherit:
    description: Whether it has the privileges of the roles that it is a member of without C(SET ROLE).
    type: bool
  replication:
    description: Whether it may start replication.
    type: bool
  bypass_rls:
    description: Whether row-level security does not apply to it.
    type: bool
  connection_limit:
    description: How many sessions it may have; V(-1) for no limit, V(0) for none.
    type: int
    aliases: [conn_limit]
  valid_until:
    description: When its password expires, as RFC 3339; V(infinity) for never.
    type: str
    aliases: [expires]
  config_parameters:
    description: Settings of its sessions. Those set here before and no longer declared are reset.
    type: dict
  default_role:
    description: The role that its sessions begin with.
    type: str
  in_roles:
    description: The roles that it is a member of, exactly.
    type: list
    elements: str
  reassign_owned_to:
    description: When it is dropped, who gets what it owns, in every database.
    type: str
  end_sessions:
    description: When it is dropped, end its sessions.
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
    - What is there afterwards. C(exists), C(name), C(created), its attributes, and C(in_roles); when a drop is refused,
      C(owned_objects) as well.
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
