# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options about who declares an object (argument_specs.OWNERSHIP)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  dbops_owner:
    description:
      - Who declares this object, for the ledger that is kept on the server itself, in a database named C(dbops).
      - A word that names your playbook, or a mapping of C(cluster), C(kind), C(namespace) and C(name).
      - With it, what somebody else declares is a V(Conflict), and what existed before is V(NotAdopted) unless O(adopt).
      - Without it nothing is recorded, and only dropping what somebody else declares is refused, unless O(force).
    type: raw
  adopt:
    description: Take over what existed before; only what is declared here changes.
    type: bool
    default: false
  force:
    description: Override somebody else's claim.
    type: bool
    default: false
  allow_destructive:
    description:
      - With V(false), what would take data or access away from an object that stays is reported as a difference and
        not put right; everything else is.
      - Such are revoked privileges, memberships and their options, another owner, superuser rights, hosts that are not
        declared, another role that is active from the login on, and what keeps logins out (a lock, no login, an earlier
        end, TLS that was not asked for, a database that is closed).
    type: bool
    default: true
"""
