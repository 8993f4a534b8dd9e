# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of what every module can do: check mode, diff mode, where it runs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: Shows the plan and sends no statement that changes anything.
  diff_mode:
    support: full
    description: Prints the plan, step by step, with each statement; secrets are masked.
  idempotent:
    support: full
    description: Equal means that no statement is sent and nothing is changed.
  action:
    support: full
    description:
      - With a local connection the work is done in Ansible's own process, which is several times faster.
      - With any other connection, and with C(become), C(environment) or C(async), the module runs on the target.
  platform:
    support: full
    platforms: posix
    description: Where it runs.
"""
    ACTIONGROUP = r"""
attributes:
  action_group:
    support: full
    description: Use C(group/dbprovision.dbops.all) in C(module_defaults) to write the connection once.
    membership:
      - dbprovision.dbops.all
"""
