# SPDX-License-Identifier: GPL-3.0-or-later
"""A randomized life of the operator: teams whose objects come, change and go, while things break around them.

`teams` says what is declared, `sides` asks each kind of server what it has, `faults` breaks things, and `life` runs
them together and compares in the end. All randomness comes from one seed.
"""
