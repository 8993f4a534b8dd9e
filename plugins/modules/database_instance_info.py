#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_instance_info
short_description: Tell what a database server is and what the account may do there
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Logs in and reads the server's version and identity, whether it is a replica or read-only, and what the account
    can and cannot do, before anything is tried. It changes nothing.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
options:
  discover:
    description: List databases, users and roles on the server that nobody declares with an owner, by C(dbops_owner).
    type: bool
    default: false
seealso:
  - module: community.postgresql.postgresql_info
"""

EXAMPLES = r"""
- name: What can this account do on the server?
  dbprovision.dbops.database_instance_info:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
  register: server

- name: Stop early when it may not create databases
  ansible.builtin.assert:
    that: server.instance.capabilities | selectattr('name', 'eq', 'createDatabase') | map(attribute='available') | first
"""

RETURN = r"""
instance:
  description:
    - What was found. C(version), C(version_number), C(system_identifier), C(in_recovery), C(read_only), C(pooler),
      C(admin), and C(capabilities), a list of C(name), C(available) and C(message).
    - With O(discover), C(unmanaged) as well, which has lists of names, C(databases), C(users) and C(roles).
  returned: success
  type: dict
  sample:
    version: "17.10"
    version_number: 170010
    admin: admin
    in_recovery: false
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
    module.run_single(AnsibleModule, "database_instance")


if __name__ == "__main__":
    main()
