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
  - Reads who has privileges on a table of PostgreSQL and through what - as owner or superuser, by a grant of its own,
    on a column, through roles, through PUBLIC or a predefined role. It changes nothing.
  - On MySQL and MariaDB it is answered with V(Unsupported).
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
    description: In which schema; without it C(public).
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
    - What was found. C(exists), C(database), C(schema), C(table), C(type), C(owner), C(row_security), and C(access), a
      list with an entry for each role and privilege - C(role), C(login), C(privilege), C(columns) if only some,
      C(effective) whether it also gets into schema and database, and C(through), the ways to it.
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
