# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on this machine for tests, demo and benchmarks: a Kubernetes control plane and PostgreSQL.

`localstack.controlplane.ControlPlane` and `localstack.postgresql.PostgreSQLServer` are what callers use;
`python -m localstack` is behind `make up` and `make down`. Everything runs on loopback with keys and
passwords made for the occasion, and ends with the process that started it.
"""
