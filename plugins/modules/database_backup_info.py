#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_backup_info
short_description: List the backups in a store
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Reads the manifests in a store and returns the backups. It needs no key and no database server.
  - What was begun and has no manifest is no backup; it is returned apart, and removed after a while if
    O(remove_unfinished_after) says so. Files of others are left alone.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.backups
options:
  database:
    description: Only backups of this database.
    type: str
    aliases: [db]
  folder:
    description: Only backups in this folder below the prefix, and below it.
    type: str
    default: ''
  remove_unfinished_after:
    description: Seconds after which what was begun and never finished is removed; without it nothing is.
    type: int
seealso:
  - module: dbprovision.dbops.database_backup
"""

EXAMPLES = r"""
- name: List the backups of a database
  dbprovision.dbops.database_backup_info:
    database: orders
    storage:
      type: file
      file:
        path: /var/backups/databases
"""

RETURN = r"""
backups:
  description: The backups, oldest first, as RV(dbprovision.dbops.database_backup#module:backup) has them.
  returned: success
  type: list
  elements: dict
broken:
  description: What has a manifest and is no backup all the same, and why.
  returned: success
  type: list
  elements: dict
unfinished:
  description: What was begun and has no manifest, and since when.
  returned: success
  type: list
  elements: dict
removed:
  description: Paths of what was removed.
  returned: success
  type: list
  elements: str
reason:
  description: Why it failed, from a fixed list that scripts can rely on.
  returned: on failure
  type: str
  sample: AuthenticationFailed
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: storage.file.path
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module


def main() -> None:
    module.run_info(AnsibleModule)


if __name__ == "__main__":
    main()
