#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: converge
short_description: Keep a whole list of databases, logins, roles and grants on one server as declared
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Takes a list of objects of any kind for one server, observes the server once, plans all of them in the order of
    their dependencies, and applies what differs. One object that fails does not stop the others.
  - This is what the operator runs, and the fastest way to declare a whole server.
  - Pass lists, do not C(loop) - Ansible prints the C(item) of a loop, password included.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.brake
  - dbprovision.dbops.connection
options:
  objects:
    description:
      - The declared objects. Each has a C(kind) - V(database), V(database_user), V(database_role), V(database_grant)
        or V(database_instance) - and the options of the module of that kind, and may have a C(ref) that names it in
        the results.
    type: list
    elements: dict
    default: []
  fail_on_object:
    description: Whether the task fails when an object does.
    type: bool
    default: true
  dbops_epoch:
    description:
      - A fencing token, for whoever runs the same list from several places of which one is the active one.
      - The ledger of the server remembers the largest number per name. A task with a smaller number changes nothing
        any more and fails with reason V(Conflict), also when it was paused in the middle of its work. A task with a
        larger number ends the sessions of those before it.
      - Not looked at in check mode.
    type: dict
    suboptions:
      name:
        description: What the token is for.
        type: str
        required: true
      number:
        description: Larger each time that somebody takes over, such as the time in milliseconds.
        type: int
        required: true
  server_identity:
    description:
      - The server's own identifier, as M(dbprovision.dbops.database_instance_info) gives it. On any other server
        nothing is done until that is acknowledged by O(acknowledge).
      - Empty, the server is held to what its own ledger says that it is.
    type: str
  socket:
    description:
      - For the operator only. Path of a unix socket to wait on for work; local connections only.
    type: str
"""

EXAMPLES = r"""
- name: A database with its owner
  dbprovision.dbops.converge:
    objects:
      - kind: database_user
        name: orders_owner
        password: "{{ orders_owner_password }}"
      - kind: database
        name: orders
        owner: orders_owner
"""

RETURN = r"""
version:
  description: Version of the shape of this result.
  returned: always
  type: int
  sample: 1
server:
  description: Whether the server could be reached (C(reachable)), and what it is.
  returned: always
  type: dict
  sample:
    reachable: true
    version: "17.10"
objects:
  description:
    - A result per object, in the declared order. C(ref), C(changed), C(steps), C(observed), C(differences),
      C(warnings), C(credentials), C(failed), C(reason), C(message), C(field).
  returned: always
  type: list
  elements: dict
documents:
  description: In a standby run, the results of each request.
  returned: with O(socket)
  type: list
  elements: dict
queries:
  description: The statements that were sent, or in check mode would be, secrets masked.
  returned: always
  type: list
  elements: str
  sample: ['CREATE ROLE "app" LOGIN']
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import module


def main() -> None:
    module.run_many(AnsibleModule)


if __name__ == "__main__":
    main()
