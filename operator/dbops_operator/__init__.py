# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator: custom resources come in, runs of the collection go out, conditions and Secrets come back.

Follow one object through the rooms in this order: api (what it may say), watch and queue (when it is looked
at), resolve (what it refers to), run (the collection does it), results, status (what is told).
"""

__version__ = "0.1.0"
