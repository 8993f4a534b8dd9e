#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_grant
short_description: Give a user or a role privileges and memberships, and take them back
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Gives what is declared and not held. With O(dbops_owner), the ledger on the server remembers what was given, and
    what is no longer declared is taken back, unless another declaration still names it.
    Where another user or role is declared, who had it before loses it first.
  - What somebody gave by hand is left alone. Nothing is revoked to be granted again.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
  - dbprovision.dbops.grants
  - dbprovision.dbops.ownership
options:
  name:
    description: What this declaration is called in the ledger; without it, as the one who gets the privileges.
    type: str
  state:
    description: With V(absent), what this declaration gave is taken back; without O(dbops_owner), what it lists.
    type: str
    choices: [present, absent]
    default: present
  user:
    description: The user who gets them; either this or O(role).
    type: str
  role:
    description: The role that gets them.
    type: str
  roles:
    description: The roles that it becomes a member of.
    type: list
    elements: str
  default_privileges:
    description: PostgreSQL, privileges on objects that will be made.
    type: list
    elements: dict
    suboptions:
      database:
        description: In which database.
        type: str
        required: true
      schema:
        description: In which schema.
        type: str
        required: true
      object_type:
        description: On what.
        type: str
        choices: [tables, sequences, functions, types]
        required: true
      privileges:
        description: Which, such as V(SELECT), or V(ALL).
        type: list
        elements: str
        required: true
      granted_by:
        description: Whose future objects.
        type: str
        required: true
seealso:
  - module: community.postgresql.postgresql_privs
  - module: community.mysql.mysql_user
"""

EXAMPLES = r"""
- name: What the reports may read
  dbprovision.dbops.database_grant:
    user: reports
    roles: [orders_reader]
    grants:
      - database: orders
        schema: sales
        privileges: [USAGE, SELECT]
    dbops_owner: reporting

- name: No more
  dbprovision.dbops.database_grant:
    user: reports
    state: absent
    dbops_owner: reporting
"""

RETURN = r"""
grant:
  description: What holds afterwards. C(roles), and how many C(direct_grants) and C(default_privileges) are declared.
  returned: always
  type: dict
  sample:
    roles: [orders_reader]
    direct_grants: 1
    default_privileges: 0
queries:
  description: The statements that were sent, or in check mode would be, secrets masked.
  returned: always
  type: list
  elements: str
  sample: ['GRANT "orders_reader" TO "reports"']
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
    module.run_single(AnsibleModule, "database_grant")


if __name__ == "__main__":
    main()
