# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-runner that wait for work: their folders, the protocol of their sockets, and the pool of them."""
