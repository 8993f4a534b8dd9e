# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator does for each kind: one file per kind, `table` lists them.

A reconciler gets a context and a key, reads what is there now, and brings it one step or all the way to what is
declared; it never assumes which event came. It answers with a verdict from which the queue knows when to look again.
"""
