# SPDX-License-Identifier: GPL-3.0-or-later
"""A `become` that stays the same user: what a task does under become, without any rights of the test machine."""

from __future__ import annotations

from typing import Any

from ansible.plugins.become import BecomeBase

DOCUMENTATION = """
name: same_user
short_description: stays the same user
author: tests
options:
  become_user:
    description: ignored
    default: root
    vars: [{name: ansible_become_user}]
"""


class BecomeModule(BecomeBase):
    name = "same_user"

    def build_become_command(self, cmd: str, shell: Any) -> str:
        super().build_become_command(cmd, shell)
        return self._build_success_command(cmd, shell) if cmd else cmd
