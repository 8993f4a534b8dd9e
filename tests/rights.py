# SPDX-License-Identifier: GPL-3.0-or-later
"""What an installation allows the operator's account, and what the account did by the API server's audit log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from operator_process import ACCOUNT, USER

from localstack.controlplane import ControlPlane

Body = dict[str, Any]


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource (`databases`, `databases/status`), in a namespace or in all ("")."""

    group: str
    resource: str
    verb: str
    namespace: str = ""

    def covers(self, use: Right) -> bool:
        """Whether a USE of the API is one of this right."""
        same = (self.group, self.resource, self.verb) == (use.group, use.resource, use.verb)
        return same and self.namespace in ("", use.namespace)


def granted(shipped: Sequence[Body], account: str = ACCOUNT) -> set[Right]:
    """All that the bindings among SHIPPED give the ACCOUNT."""
    roles = {(one["kind"], one["metadata"]["name"]): one for one in shipped if one["kind"].endswith("Role")}
    found = set()
    for binding in shipped:
        if not binding["kind"].endswith("RoleBinding"):
            continue
        if not any(one["kind"] == "ServiceAccount" and one["name"] == account for one in binding["subjects"]):
            continue
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        found |= set(_rights(role, binding["metadata"].get("namespace", "")))
    return found


def _rights(role: Body, namespace: str) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    assert "*" not in (group, resource, verb), rule
                    yield Right(group, resource, verb, namespace)


def used(cluster: ControlPlane, user: str = USER) -> set[Right]:
    """What the USER did, by the audit log: objects only, no discovery."""
    found = set()
    for event in cluster.audit_events(user=user):
        about = event.get("objectRef")
        if about:
            resource = "/".join(filter(None, (about["resource"], about.get("subresource", ""))))
            found.add(Right(about.get("apiGroup", ""), resource, event["verb"], about.get("namespace", "")))
    return found


def unused(rights: set[Right], uses: set[Right]) -> list[Right]:
    """The RIGHTS that none of the USES needed."""
    return sorted(right for right in rights if not any(right.covers(use) for use in uses))


def uncovered(rights: set[Right], uses: set[Right]) -> list[Right]:
    """The USES that none of the RIGHTS allows: allowed by something that is not shipped."""
    return sorted(use for use in uses if not any(right.covers(use) for right in rights))
