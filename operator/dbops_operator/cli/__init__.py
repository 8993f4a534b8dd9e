# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `dbops`, also `kubectl dbops`."""
