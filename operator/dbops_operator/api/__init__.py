# SPDX-License-Identifier: GPL-3.0-or-later
"""The API dbops.dbprovision.io/v1alpha1: one file per kind, and the CRDs made from them.

A body from the API server goes into `model.parse` with its kind from `kinds`; a typed spec comes out.
"""
