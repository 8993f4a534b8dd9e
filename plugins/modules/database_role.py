#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_role
short_description: Keep a group role as declared, or drop it
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Creates a role that others are members of, and keeps its attributes, memberships and privileges as declared.
  - Options that are not given are neither set nor compared; V(false) is a value.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
  - dbprovision.dbops.grants
  - dbprovision.dbops.ownership
options:
  name:
    description:
      - Name of the role, any characters; at most 63 bytes on PostgreSQL, 32 characters on MySQL, 128 on MariaDB.
    type: str
    required: true
    aliases: [role]
  state:
    description: Whether it shall exist. One that owns objects is only dropped with O(reassign_owned_to).
    type: str
    choices: [present, absent]
    default: present
  login:
    description: PostgreSQL, whether one may log in with it; not, when nothing is said.
    type: bool
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
  native:
    description: MySQL and MariaDB, whether it is a role of the server; else a locked account that stands for one.
    type: bool
    default: true
  in_roles:
    description: The roles that it is a member of, exactly, apart from those that a grant declares.
    type: list
    elements: str
  reassign_owned_to:
    description: PostgreSQL, when it is dropped, who gets what it owns, in every database.
    type: str
notes:
  - On MySQL and MariaDB a view or routine runs with its definer's rights, and not everything counts there that the
    definer has. On MariaDB no role does, unless the role itself is the definer (C(DEFINER = CURRENT_ROLE)). On MySQL no
    grant on a database with C(_) or C(%) in its name does once the definer has a role. Grants on tables do.
seealso:
  - module: community.postgresql.postgresql_user
  - module: community.mysql.mysql_role
"""

EXAMPLES = r"""
- name: Who reads the orders
  dbprovision.dbops.database_role:
    name: orders_reader
    grants:
      - database: orders
        privileges: [CONNECT]
      - database: orders
        schema: sales
        privileges: [USAGE, SELECT]

- name: Drop it
  dbprovision.dbops.database_role:
    name: orders_reader
    state: absent
"""

RETURN = r"""
role:
  description:
    - What is there afterwards. C(exists), C(name), C(created), its attributes, and C(in_roles); C(adopted) when this
      run took it over.
  returned: always
  type: dict
  sample:
    exists: true
    name: orders_reader
    created: true
queries:
  description: The statements that were sent, or in check mode would be, secrets masked.
  returned: always
  type: list
  elements: str
  sample: ['CREATE ROLE "orders_reader"']
reason:
  description: Why it failed, from a fixed list that scripts can rely on, such as V(PrivilegeMissing).
  returned: on failure
  type: str
  sample: DependencyNotReady
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: grants
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import module


def main() -> None:
    module.run_single(AnsibleModule, "database_role")


if __name__ == "__main__":
    main()
