# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the option `grants`, which roles and grants have (argument_specs.GRANTS)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  grants:
    description: Privileges, and what they are on.
    type: list
    elements: dict
    suboptions:
      privileges:
        description: Which, such as V(SELECT), or V(ALL).
        type: list
        elements: str
        required: true
      level:
        description: MySQL and MariaDB, what they are on; without it, what the other options name.
        type: str
        choices: [global, database, table, column, procedure, function]
      database:
        description: In which database; always needed on PostgreSQL. V(_) and V(%) stand for themselves.
        type: str
      schema:
        description: PostgreSQL, in which schema; V(public) where objects are listed without one.
        type: str
      table:
        description: MySQL and MariaDB, on which table.
        type: str
      tables:
        description: PostgreSQL, on which tables and views; V(*) for all that exist.
        type: list
        elements: str
      columns:
        description: On which columns of the table, or of each of O(grants[].tables).
        type: list
        elements: str
      sequences:
        description: PostgreSQL, on which sequences; V(*) for all that exist.
        type: list
        elements: str
      functions:
        description:
          - PostgreSQL, on which functions and procedures; V(*) for all that exist.
          - A bare name means every overload, one with types such as V(add(integer, integer\)) only that.
        type: list
        elements: str
      procedure:
        description: MySQL and MariaDB, on which procedure.
        type: str
      function:
        description: MySQL and MariaDB, on which function.
        type: str
      grant_option:
        description: Whether they may be given to others.
        type: bool
        default: false
"""
