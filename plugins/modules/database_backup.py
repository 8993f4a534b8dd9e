#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database_backup
short_description: Back up a database into a store, verify the backup by a real restore, or remove it
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Streams a dump of one database through compression and encryption into a store, in constant memory whatever its
    size. C(pg_dump), C(mysqldump) or C(mariadb-dump) of the server's own version makes it.
  - A backup is there when its manifest is. That is written last, when the tool has ended well and the upload is
    complete; what fails or is killed before leaves nothing that looks like a backup.
  - The same O(database), O(backup_name) and O(started) name the same backup, so a second run finds the first and
    changes nothing.
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.connection
  - dbprovision.dbops.backups
  - dbprovision.dbops.backups.tools
options:
  database:
    description: Name of the database on the server.
    type: str
    required: true
    aliases: [db]
  backup_name:
    description: Name of the backup, a part of the file's name; that of the database if not given.
    type: str
  started:
    description:
      - The moment that names the backup, in ISO 8601 and UTC unless it says otherwise. Without it now, so that each run
        makes another backup.
    type: str
  state:
    description:
      - V(present) makes the backup unless it is there. V(verified) also restores it into a scratch database on the same
        server, compares that with the manifest, and drops it. V(absent) removes the backup.
    type: str
    choices: [present, verified, absent]
    default: present
  compression:
    description: How the dump is compressed.
    type: dict
    suboptions:
      algorithm:
        description: The algorithm; V(none) for none.
        type: str
        choices: [none, gzip, lz4, zstd]
        default: gzip
      level:
        description: From the fastest to the smallest.
        type: int
        choices: [1, 2, 3, 4, 5, 6, 7, 8, 9]
        default: 6
  encryption:
    description: How the dump is encrypted before it leaves; without it, it is not.
    type: dict
    suboptions:
      recipients:
        description: Public keys of age. Whoever backs up cannot read the backup then.
        type: list
        elements: str
      key:
        description: A key of 32 bytes in base64, for AES-256-GCM.
        type: str
      identities:
        description: Secret keys of age, to read the backup for O(state=verified).
        type: list
        elements: str
  postgresql:
    description: Options of C(pg_dump).
    type: dict
    suboptions:
      format:
        description: The format of the dump. V(directory) is stored as a tar archive of the directory.
        type: str
        choices: [plain, custom, directory, tar]
        default: custom
      jobs:
        description: How many tables are dumped at a time, with O(postgresql.format=directory).
        type: int
        default: 1
      schemas:
        description: Only these schemas; patterns as C(pg_dump) has them.
        type: list
        elements: str
        default: []
      exclude_schemas:
        description: Not these schemas.
        type: list
        elements: str
        default: []
      tables:
        description: Only these tables.
        type: list
        elements: str
        default: []
      exclude_tables:
        description: Not these tables.
        type: list
        elements: str
        default: []
      data_only:
        description: Only rows.
        type: bool
        default: false
      schema_only:
        description: Only definitions.
        type: bool
        default: false
      blobs:
        description: Whether large objects are dumped.
        type: bool
        default: true
      no_owner:
        description: Whether owners are left out.
        type: bool
        default: false
      no_privileges:
        description: Whether privileges are left out.
        type: bool
        default: false
      lock_wait_timeout:
        description: Seconds to wait for the lock of a table.
        type: int
        default: 60
  mysql:
    description: Options of C(mysqldump) and C(mariadb-dump).
    type: dict
    suboptions:
      tables:
        description: Only these tables.
        type: list
        elements: str
        default: []
      exclude_tables:
        description: Not these tables.
        type: list
        elements: str
        default: []
      routines:
        description: Whether functions and procedures are dumped.
        type: bool
        default: true
      triggers:
        description: Whether triggers are dumped.
        type: bool
        default: true
      events:
        description: Whether events are dumped.
        type: bool
        default: true
      single_transaction:
        description: Whether all tables are read in one transaction.
        type: bool
        default: true
      lock_tables:
        description: Whether tables are locked meanwhile.
        type: bool
        default: false
      quick:
        description: Whether rows are written as they come.
        type: bool
        default: true
      extended_insert:
        description: Whether one INSERT has many rows.
        type: bool
        default: true
      set_gtid_purged:
        description: MySQL, whether the dump sets the global transaction identifiers.
        type: str
        choices: ['OFF', 'ON', AUTO]
        default: AUTO
  created_by:
    description: What asked for the backup, for its manifest; C(cluster), C(kind), C(namespace) and C(name).
    type: dict
seealso:
  - module: dbprovision.dbops.database_restore
  - module: dbprovision.dbops.database_backup_info
"""

EXAMPLES = r"""
- name: Back up a database
  dbprovision.dbops.database_backup:
    login_host: db.example.com
    login_user: admin
    login_password: "{{ admin_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
    database: orders
    compression:
      algorithm: zstd
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    storage:
      type: s3
      prefix: nightly
      s3:
        bucket: backups
        access_key: "{{ s3_access_key }}"
        secret_key: "{{ s3_secret_key }}"

- name: Back up into a folder, and restore it once to be sure
  dbprovision.dbops.database_backup:
    login_unix_socket: /run/postgresql
    database: orders
    state: verified
    storage:
      type: file
      file:
        path: /var/backups/databases
"""

RETURN = r"""
backup:
  description: The backup, out of its manifest.
  returned: success
  type: dict
  sample:
    path: orders-orders-20261130-030000.dump.zst.age
    size_bytes: 1073741824
    stored_bytes: 214748364
    checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    tables: 12
verification:
  description: What the restore into a scratch database has shown.
  returned: with O(state=verified)
  type: dict
  sample:
    verified: true
    at: '2026-11-30T03:10:00Z'
    differences: []
reason:
  description: Why it failed, from a fixed list that scripts can rely on, such as V(Timeout).
  returned: on failure
  type: str
  sample: PrivilegeMissing
field:
  description: The option at fault, where there is one.
  returned: on failure
  type: str
  sample: storage.s3.bucket
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module


def main() -> None:
    module.run_backup(AnsibleModule)


if __name__ == "__main__":
    main()
