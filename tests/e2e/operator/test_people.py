# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles for people: whoever may view, edit or administer a namespace may do so with our kinds, and nothing beyond."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbops_operator.api.kind import GROUP
from dbops_operator.api.kinds import KINDS
from localstack.controlplane import ControlPlane
from localstack.processes import wait_until


@pytest.fixture
def people(crds: ControlPlane, operator_kubeconfig: Path, namespace: str) -> str:
    """A namespace with somebody for each of the three; they are called like what they may."""
    for role in ("view", "edit", "admin"):
        crds.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "--namespace", namespace)
    # A controller fills the aggregated roles.
    wait_until(lambda: can(crds, namespace, "admin", "deletecollection", "databases"), what="roles are aggregated")
    return namespace


def can(cluster: ControlPlane, namespace: str, who: str, verb: str, plural: str, subresource: str = "") -> bool:
    about = {"namespace": namespace, "verb": verb, "group": GROUP, "resource": plural, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": who, "resourceAttributes": about},
    }
    answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


@pytest.mark.feature("K06")
def test_viewers_editors_and_administrators_of_a_namespace(crds: ControlPlane, people: str) -> None:
    for kind in KINDS.values():
        found = {
            who: tuple(verb for verb in ("get", "watch", "create", "delete", "deletecollection")
                       if can(crds, people, who, verb, kind.plural))
            for who in ("view", "edit", "admin")
        }  # fmt: skip
        if kind.namespaced:
            assert found == {
                "view": ("get", "watch"),
                "edit": ("get", "watch", "create", "delete"),
                "admin": ("get", "watch", "create", "delete", "deletecollection"),
            }, kind.name
        else:
            assert not {"create", "delete"} & {*found["view"], *found["edit"], *found["admin"]}, kind.name
    for who in ("view", "edit", "admin"):
        # Status is the operator's word.
        assert not can(crds, people, who, "patch", "databases", "status")
        assert not can(crds, "default", who, "get", "databases")


@pytest.mark.feature("K06")
def test_every_kind_has_a_role_of_each_level(crds: ControlPlane, operator_kubeconfig: Path) -> None:
    names = crds.kubectl("get", "clusterroles", "--output=name")
    for kind in KINDS.values():
        for level in ("viewer", "editor", "admin"):
            assert f"/db-provision-operator-{kind.singular}-{level}-role\n" in names
