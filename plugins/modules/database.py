#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: database
short_description: Keep a database as declared, or drop it
version_added: 0.1.0
author:
  - DB Provision contributors (@dbprovision)
description:
  - Creates a database and keeps it as declared - owner, limits, tablespace, extensions, schemas and default privileges.
  - Options that are not given are neither set nor compared.
  - What cannot be altered later (O(encoding), O(lc_collate), O(lc_ctype)) fails with reason V(ImmutableField).
extends_documentation_fragment:
  - dbprovision.dbops.attributes
  - dbprovision.dbops.attributes.actiongroup
  - dbprovision.dbops.brake
  - dbprovision.dbops.connection
  - dbprovision.dbops.ownership
options:
  name:
    description: Name of the database, any characters; at most 63 bytes on PostgreSQL, else 64 characters.
    type: str
    required: true
    aliases: [db]
  state:
    description: Whether it shall exist.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: PostgreSQL, the role that owns it; it must exist. Without it, the account that creates it.
    type: str
  encoding:
    description:
      - Character set, such as V(UTF8) or V(utf8mb4).
      - Only at creation on PostgreSQL; on MySQL and MariaDB it is altered, for tables made from then on.
    type: str
    aliases: [charset]
  collation:
    description: MySQL and MariaDB, the collation of tables made from then on.
    type: str
  lc_collate:
    description: PostgreSQL, collation order; only at creation.
    type: str
  lc_ctype:
    description: PostgreSQL, character classification; only at creation.
    type: str
  template:
    description: PostgreSQL, the database to copy; only at creation.
    type: str
  tablespace:
    description: PostgreSQL, its default tablespace. Moving it needs a database without sessions.
    type: str
  connection_limit:
    description: PostgreSQL, how many sessions it takes; V(-1) for no limit.
    type: int
    aliases: [conn_limit]
  is_template:
    description: PostgreSQL, whether everybody who may create databases may copy it.
    type: bool
  allow_connections:
    description: PostgreSQL, whether anybody can connect.
    type: bool
  extensions:
    description: PostgreSQL, extensions in it. Others that are there are left alone.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the extension.
        type: str
        required: true
      schema:
        description: The schema of its objects.
        type: str
      version:
        description: Its version; without it, the server's default at creation, and no upgrade later.
        type: str
      state:
        description: Whether it shall be installed.
        type: str
        choices: [present, absent]
        default: present
      cascade:
        description: Install what it needs as well; when it is removed, drop what depends on it.
        type: bool
        default: false
  schemas:
    description: PostgreSQL, schemas in it. Others that are there are left alone.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the schema.
        type: str
        required: true
      owner:
        description: The role that owns it.
        type: str
      state:
        description: Whether it shall exist; one that is not empty is only dropped with O(schemas[].cascade).
        type: str
        choices: [present, absent]
        default: present
      cascade:
        description: Drop its content with it.
        type: bool
        default: false
  default_privileges:
    description:
      - PostgreSQL, privileges on objects that will be made.
      - Those given here before and no longer declared are revoked.
    type: list
    elements: dict
    suboptions:
      role:
        description: Who gets the privileges.
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
        description: Whose future objects; without it, those of the database's owner.
        type: str
  ownership:
    description:
      - PostgreSQL, a group role that owns the database instead of O(owner), and a login that is a member of it.
      - The login has no password; give it one with M(dbprovision.dbops.database_user).
    type: dict
    suboptions:
      role:
        description: Name of the group role; without it C(db_NAME_owner).
        type: str
      user:
        description: Name of the login; without it C(db_NAME_app).
        type: str
      default_privileges:
        description: Whether each may use what the other makes, in C(public) and every schema of O(schemas).
        type: bool
        default: true
      drop:
        description: Whether both are dropped with the database.
        type: bool
        default: false
  init_sql:
    description:
      - SQL to run in it once, after all else; again when its content changes, as a whole. Needs O(dbops_owner).
      - It runs in a session without administrator's rights, and what it makes belongs to the database's owner.
      - Where a statement fails, the ones before it stay; the next run goes on with it.
    type: dict
    suboptions:
      statements:
        description: The statements, each an item of the list whatever it holds. Either this or O(init_sql.script).
        type: list
        elements: str
      script:
        description: A script, which is split as the server's own client would; a line of three hyphens also splits.
        type: str
      on_failure:
        description: Whether a failing statement fails the task, or is only told.
        type: str
        choices: [block, continue]
        default: block
  end_sessions:
    description: End other sessions when a step needs a database without any, such as a drop.
    type: bool
    default: false
seealso:
  - module: community.postgresql.postgresql_db
"""

EXAMPLES = r"""
- name: A database with an extension and a schema
  dbprovision.dbops.database:
    name: orders
    owner: orders_owner
    extensions:
      - name: pg_trgm
    schemas:
      - name: sales
        owner: orders_owner

- name: What would change?
  dbprovision.dbops.database:
    name: orders
    connection_limit: 50
  check_mode: true
  diff: true

- name: Drop it, ending its sessions
  dbprovision.dbops.database:
    name: orders
    state: absent
    end_sessions: true
"""

RETURN = r"""
database:
  description:
    - What is there afterwards. C(exists), C(name), C(owner), C(size_bytes), C(encoding), C(lc_collate), C(lc_ctype),
      C(tablespace), C(connection_limit), C(is_template), C(allow_connections), C(extensions) and C(schemas).
  returned: always
  type: dict
  sample:
    exists: true
    name: orders
    owner: orders_owner
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
    module.run_single(AnsibleModule, "database")


if __name__ == "__main__":
    main()
