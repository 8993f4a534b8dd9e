#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_access_info
short_description: Tell who may do what with a table, and through what
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Reads who has privileges on a table and through what. It changes nothing.
  - On PostgreSQL that is as owner or superuser, by a grant of its own, on a column, through roles, through PUBLIC or a
    predefined role.
  - On MySQL and MariaDB it is by a grant on everything, on databases of a pattern, on the table or on columns, through
    roles (those active from the login on, and those that take a C(SET ROLE)), through mandatory roles or PUBLIC, and
    without what partial revokes take away. Of grants on databases only one counts for the server, and only that one is
    told. Where two patterns say equally much and the server's choice is left open, both are told.
  - A view is looked at like a table. What its definer may do with the tables behind it is not asked.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
options:
  name:
    description: What the question is called in messages; without it, the name of the table.
    type: str
  database:
    description: In which database.
    type: str
    required: true
    aliases: [db]
  schema:
    description: In which schema; without it C(public). PostgreSQL only.
    type: str
  table:
    description: Which table or view.
    type: str
    required: true
  privileges:
    description: Which privileges are asked for, or V(ALL).
    type: list
    elements: str
    default: [SELECT, INSERT, UPDATE, DELETE]
seealso:
  - module: community.postgresql.postgresql_info
"""

EXAMPLES = r"""
- name: Who reads the orders?
  dbprovision.dbops.database_access_info:
    database: orders
    schema: sales
    table: orders
    privileges: [SELECT]
  register: orders

- name: Nobody but these
  ansible.builtin.assert:
    that: >-
      orders.table.access | selectattr('effective') | selectattr('login') | map(attribute='role')
      | difference(['postgres', 'orders_owner', 'reports']) == []
"""

RETURN = r"""
table:
  description:
    - What was found. C(exists), C(database), C(table), C(type), on PostgreSQL C(schema), C(owner) and C(row_security),
      and C(access), a list with an entry for each role and privilege - C(role) (on MySQL and MariaDB an account such
      as C(app@%)), C(login), C(privilege), C(columns) if only some, C(effective) whether it is at hand (and on
      PostgreSQL, whether it also gets into schema and database), and C(through), the ways to it.
    - A way has C(kind) (on PostgreSQL C(owner), C(superuser), C(grant), C(column), C(predefined), C(public); on MySQL
      and MariaDB C(global), C(database), C(table), C(column)), C(path) from who has it to whom it was given, C(at_hand)
      if it takes no C(SET ROLE), C(columns), C(grantable), and C(grantor) on PostgreSQL or C(pattern) of the database.
  returned: success
  type: dict
  sample:
    exists: true
    owner: orders_owner
    access:
      - role: reports
        privilege: SELECT
        effective: true
queries:
  description: Always empty, nothing is changed.
  returned: always
  type: list
  elements: str
  sample: []
reason:
  description: Why it failed, from a fixed list that scripts can rely on, such as V(PrivilegeMissing).
  returned: on failure
  type: str
  sample: DependencyNotReady
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: table
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import module


def main() -> None:
    module.run_single(AnsibleModule, "database_access")


if __name__ == "__main__":
    main()
