#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_export
short_description: Write down a live server as variables or custom resources that change nothing on it
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Reads databases, logins, roles and grants of a server that others built, or the chosen ones, and returns the
    declaration of what is there. Declared as it stands, it changes nothing on that server; on an empty one it makes
    the same. It never changes anything itself.
  - Only what differs from what the server does by itself is declared. Left out are roles and databases of the system,
    the account that is connected, the superuser that the server was made with, and what belongs to extensions.
  - Passwords are never read and never returned. A login keeps the one that it has; where it is missing, it is made
    without one. For custom resources give the operator the known passwords in C(existingPasswordSecret) of each
    C(DatabaseUser), or it sets new ones.
  - Tables, functions and other data definitions are not exported, but privileges on them are, so restore these
    between databases and grants.
  - What is there and cannot be declared is returned in C(warnings).
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
options:
  databases:
    description:
      - Names of the databases, with V(*), V(?) and V([]) as in a shell. Only these are looked into, and only privileges
        in these are exported.
    type: list
    elements: str
    default: ['*']
  accounts:
    description:
      - Names of the logins and roles, with V(*), V(?) and V([]) as in a shell. Only their privileges are exported.
      - V(PUBLIC) is everybody on PostgreSQL.
    type: list
    elements: str
    default: ['*']
  format:
    description:
      - V(variables) are those of the playbook C(dbprovision.dbops.server), V(manifests) are custom resources for the
        operator.
    type: str
    choices: [variables, manifests]
    default: variables
  instance:
    description: Name of the C(DatabaseInstance) that custom resources refer to; required for O(format=manifests).
    type: str
  namespace:
    description: Namespace of the custom resources; without it they have none.
    type: str
seealso:
  - module: dbprovision.dbops.converge
"""

EXAMPLES = r"""
- name: Write down a whole server
  dbprovision.dbops.database_export:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
  register: server

- name: Show that nothing would change
  dbprovision.dbops.converge:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
    objects: "{{ server.objects }}"
  check_mode: true

- name: Write down the databases of one team as custom resources
  dbprovision.dbops.database_export:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
    databases: ['orders*']
    accounts: ['orders_*']
    format: manifests
    instance: main
    namespace: orders
"""

RETURN = r"""
version:
  description: Version of the shape of this result.
  returned: success
  type: int
  sample: 1
server:
  description: What the server is.
  returned: success
  type: dict
  sample:
    engine: postgres
    version: "17.10"
objects:
  description: What was found, as O(dbprovision.dbops.converge#module:objects) takes it.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: database
      name: orders
      owner: orders_owner
variables:
  description:
    - The same as C(server_roles), C(server_users), C(server_databases) and C(server_grants) for the playbook
      C(dbprovision.dbops.server).
  returned: with O(format=variables)
  type: dict
  sample:
    server_databases:
      - name: orders
        owner: orders_owner
manifests:
  description: The same as custom resources, as far as the API has words for it.
  returned: with O(format=manifests)
  type: list
  elements: dict
reason:
  description: Why it failed, from a fixed list that scripts can rely on, such as V(PrivilegeMissing).
  returned: on failure
  type: str
  sample: AuthenticationFailed
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: instance
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import module


def main() -> None:
    module.run_export(AnsibleModule)


if __name__ == "__main__":
    main()
