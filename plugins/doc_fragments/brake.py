# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that brake drops of databases (argument_specs.SERVER)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  acknowledge:
    description: Stops that somebody has seen and lets go on, by the token in their message.
    type: list
    elements: str
    default: []
  drop_brake:
    description: More drops of databases than this on one server, in one time, stop and ask to be acknowledged.
    type: dict
    suboptions:
      drops:
        description: How many are let through; V(0) for any number.
        type: int
        default: 20
      seconds:
        description: In which time.
        type: int
        default: 600
"""
