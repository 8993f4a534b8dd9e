# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read under --diff: each object with its steps, what they change, and their statements."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import task
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult, StepResult, document

CREATED = ObjectResult(
    "database_user/app",
    steps=[
        StepResult("create", "role app", "CREATE ROLE app", after={"connectionLimit": "4", "password": "as declared"}),
        StepResult("grant", "role app", "GRANT readers TO app"),
    ],
)
CHANGED = ObjectResult(
    "database/orders",
    steps=[
        StepResult("alter", "role app", "ALTER ROLE app", before={"login": "false"}, after={"login": "true"}),
        StepResult("alter", "database orders", "ALTER DATABASE orders", before=False, after=True),
        StepResult("revoke", "schema sales", "REVOKE", database="orders"),
        StepResult("drop", "schema old", "DROP SCHEMA old", before="app", destructive=True, database="orders"),
    ],
)
PLAN = """\
database_user/app
  + create role app
      CREATE ROLE app
  + grant role app
      GRANT readers TO app
database/orders
  ~ alter role app
      login: false -> true
      ALTER ROLE app
  ~ alter database orders
      false -> true
      ALTER DATABASE orders
  - revoke schema sales in database orders
      REVOKE
  ! drop schema old in database orders
      DROP SCHEMA old"""


@pytest.mark.parametrize("diff", [True, False])
def test_a_plan_is_readable(monkeypatch: pytest.MonkeyPatch, diff: bool) -> None:
    def converge(request: dict[str, Any]) -> dict[str, Any]:
        return document([CREATED, ObjectResult("database/equal"), CHANGED], server={"reachable": True})

    monkeypatch.setattr(task, "converge", converge)
    parameters: dict[str, Any] = dict.fromkeys(task.argument_specs.spec_of_list())
    result = task.many(parameters | {"objects": [], "fail_on_object": True}, check=True, diff=diff)
    assert result.get("diff") == ({"prepared": PLAN} if diff else None)
