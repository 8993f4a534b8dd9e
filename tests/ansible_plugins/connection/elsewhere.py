# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection that Ansible takes for a remote one and that ends on this machine."""

from __future__ import annotations

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: elsewhere
short_description: ends on this machine
author: tests
options:
  pipelining:
    description: as other connections have it
    default: false
    type: boolean
    vars: [{name: ansible_pipelining}]
  become_success_timeout:
    description: as the local connection has it
    default: 10
    type: int
  become_strip_preamble:
    description: as the local connection has it
    default: true
    type: bool
"""


class Connection(Local):
    transport = "elsewhere"
