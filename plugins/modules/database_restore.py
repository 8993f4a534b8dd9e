#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore
short_description: Restore a backup into a new database, an existing one, or in place of one
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Looks at everything first, such as manifest, key, versions, extensions and the target. A new database, and one
    that takes the place of another, is made beside, loaded, compared with the manifest, and renamed at the end;
    whatever fails before leaves what there is as it was. Into an existing database a PostgreSQL dump is loaded in one
    transaction.
  - The dump is foreign code. It runs in sessions of a login of its own without an administrator's rights, commands of
    client programs in it are refused, and what is restored belongs to O(owner), never to the account of O(login_user).
  - Each run restores again, so it always says C(changed). In check mode only the look at everything is taken.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
  - dbprovision.dbops.backups
  - dbprovision.dbops.backups.tools
options:
  backup:
    description:
      - Path of the dump below the store's prefix, as RV(dbprovision.dbops.database_backup#module:backup) has it.
    type: str
    required: true
  target:
    description: Where to restore to.
    type: dict
    default: {}
    suboptions:
      database:
        description: Name of the database; that of the backup if not given.
        type: str
      in_place:
        description: Whether an existing database is replaced; it is kept under the name that RV(restore) tells.
        type: bool
        default: false
      acknowledge_data_loss:
        description: Must be V(I-UNDERSTAND-DATA-LOSS) where a database is replaced.
        type: str
  compression:
    description: How somebody else's dump without a manifest is compressed; with it, such a dump is restored.
    type: dict
    suboptions:
      algorithm:
        description: The algorithm; V(none) for none.
        type: str
        choices: [none, gzip, lz4, zstd]
  encryption:
    description: What opens the backup.
    type: dict
    suboptions:
      identities:
        description: Secret keys of age.
        type: list
        elements: str
      key:
        description: A key of 32 bytes in base64, for AES-256.
        type: str
      algorithm:
        description: How somebody else's dump without a manifest is encrypted.
        type: str
        choices: [age, aes-256-gcm, aes-256-cbc]
  create_database:
    description: Whether the target is made when it does not exist.
    type: bool
    default: true
  drop_existing:
    description: Whether an existing target is replaced and then dropped; needs the same acknowledgement.
    type: bool
    default: false
  owner:
    description:
      - PostgreSQL, the role that everything shall belong to. Without it the owner of the existing database, or a role
        without login that is made for it.
    type: str
  role_mapping:
    description:
      - PostgreSQL, roles of the dump and those that take their place, as owners and in privileges. Privileges of other
        roles go to the roles of the same names, and are left out where there are none.
      - A role becomes an owner only where the owner of the target database is a member of it and it may create in the
        schema; elsewhere the restore fails with C(PrivilegeMissing) and leaves nothing behind. O(no_owner) leaves
        everything with the owner of the target.
    type: dict
    default: {}
  schemas:
    description: PostgreSQL, only these schemas; not from plain dumps.
    type: list
    elements: str
    default: []
  tables:
    description: Only these tables; not from plain dumps of PostgreSQL.
    type: list
    elements: str
    default: []
  jobs:
    description: How many things are restored at a time.
    type: int
    default: 1
  schema_only:
    description: Only definitions.
    type: bool
    default: false
  data_only:
    description: Only rows, into tables that exist.
    type: bool
    default: false
  no_owner:
    description: Whether the owners that the dump names are left aside even where O(role_mapping) has them.
    type: bool
    default: false
  no_privileges:
    description: Whether privileges in the dump are left aside.
    type: bool
    default: false
  disable_triggers:
    description: PostgreSQL, with O(data_only), whether user triggers are disabled meanwhile.
    type: bool
    default: false
  analyze:
    description: PostgreSQL, whether statistics are gathered at the end.
    type: bool
    default: true
  mysql:
    description: What only MySQL and MariaDB have.
    type: dict
    suboptions:
      routines:
        description: Whether functions and procedures are restored.
        type: bool
        default: true
      triggers:
        description: Whether triggers are restored.
        type: bool
        default: true
      events:
        description: Whether events are restored.
        type: bool
        default: true
      disable_foreign_key_checks:
        description: Whether foreign keys are not checked meanwhile.
        type: bool
        default: true
      disable_binlog:
        description: Whether the restore is kept out of the binary log.
        type: bool
        default: false
  dbops_owner:
    description:
      - Who declares the target, as the other modules have it. A database that somebody else declares is not restored
        into.
    type: raw
  force:
    description: Override somebody else's claim.
    type: bool
    default: false
seealso:
  - module: dbprovision.dbops.database_backup
"""

EXAMPLES = r"""
- name: Restore into a new database
  dbprovision.dbops.database_restore:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
    backup: orders-orders-20261130-030000.dump.gz
    target:
      database: orders_yesterday
    owner: orders_owner
    storage:
      type: file
      file:
        path: /var/backups/databases

- name: Put yesterday's data in the place of today's
  dbprovision.dbops.database_restore:
    login_unix_socket: /run/postgresql
    backup: orders-orders-20261130-030000.dump.gz
    target:
      in_place: true
      acknowledge_data_loss: I-UNDERSTAND-DATA-LOSS
    storage:
      type: file
      file:
        path: /var/backups/databases
"""

RETURN = r"""
restore:
  description: What was restored, and what the database that it replaced is called now.
  returned: success
  type: dict
  sample:
    backup: orders-orders-20261130-030000.dump.gz
    database: orders
    in_place: true
    previous: orders_before_20261201101500
    tables: 12
reason:
  description: Why it failed, from a fixed list that scripts can rely on, such as V(NotVerifiable).
  returned: on failure
  type: str
  sample: AcknowledgementNeeded
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: target.acknowledge_data_loss
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module


def main() -> None:
    module.run_restore(AnsibleModule)


if __name__ == "__main__":
    main()
