# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of objects with any options: mostly what a user could mean, now and then what nobody could.

Made from the argument specs, so that an option that is new is tried as well. The tests of each engine say which
values are likely for it and what must hold of the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs

Strategies = Mapping[str, st.SearchStrategy[Any]]

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70000),
    st.sampled_from(
        ["", " ", "x" * 300, "emoji😀", "a\0b", "\udcff", "NULL", "0", "-1", "%", "'; DROP DATABASE postgres; --"]
    ),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
    st.floats(),
)
_OF_TYPE: Strategies = {
    "bool": st.booleans(),
    "int": st.integers(0, 40),
    "str": st.sampled_from(["t", "p", "f", "x"]),
    "list": st.lists(st.sampled_from(["t", "x"]), max_size=2),
}


@dataclass(frozen=True)
class Fuzz:
    """What is likely on an engine: the KINDS, values by option, and the family whose options it has not."""

    kinds: Sequence[str]
    names: st.SearchStrategy[str]
    likely: Strategies
    not_of: str

    def objects(self) -> st.SearchStrategy[list[dict[str, Any]]]:
        """Give lists of objects."""
        return st.lists(self._object(), min_size=1, max_size=4)

    def _object(self) -> st.SearchStrategy[dict[str, Any]]:
        @st.composite
        def one(draw: st.DrawFn) -> dict[str, Any]:
            kind = draw(st.sampled_from(self.kinds))
            found = draw(self._options(argument_specs.KINDS[kind]))
            if kind == "database_grant" and draw(st.integers(0, 9)):
                found = {name: value for name, value in found.items() if name not in ("user", "role")}
                found[draw(st.sampled_from(["user", "role"]))] = draw(self.names)
            if draw(st.integers(0, 30)) == 0:
                found |= {draw(st.text(max_size=4)): draw(HOSTILE)}
            return {"kind": kind, **found}

        return one()

    def _options(self, spec: argument_specs.Spec) -> st.SearchStrategy[dict[str, Any]]:
        @st.composite
        def some(draw: st.DrawFn) -> dict[str, Any]:
            always = [name for name, one in spec.items() if one.get("required")]
            foreign = {name for those in argument_specs.ONLY[self.not_of].values() for name in those}
            rest = sorted(set(spec) - set(always) - foreign)
            # Options of the other engines are refused as a whole: not every time.
            if draw(st.integers(0, 24)) == 0:
                rest += sorted(foreign & set(spec))
            chosen = draw(st.lists(st.sampled_from(rest), max_size=5, unique=True)) if rest else []
            return {name: draw(self._values(name, spec[name])) for name in (*always, *chosen)}

        return some()

    def _values(self, name: str, spec: Mapping[str, Any]) -> st.SearchStrategy[Any]:
        @st.composite
        def value(draw: st.DrawFn) -> Any:
            if draw(st.integers(0, 24)) == 0:
                return draw(HOSTILE)
            if name in self.likely:
                return draw(self.likely[name])
            if "choices" in spec:
                return draw(st.sampled_from(spec["choices"]))
            if spec.get("elements") == "dict":
                return draw(st.lists(self._options(spec["options"]), max_size=2))
            if spec["type"] == "dict" and "options" in spec:
                return draw(self._options(spec["options"]))
            return draw(_OF_TYPE.get(spec["type"], HOSTILE))

        return value()


def judge(declared: Sequence[Mapping[str, Any]], document: Mapping[str, Any], *, secret: str) -> None:
    """Each object has a result with a reason, nothing is sent for what is wrong, and no secret shows."""
    assert document["server"]["reachable"], document["server"]
    assert len(document["objects"]) == len(declared)
    for one, result in zip(declared, document["objects"], strict=True):
        assert result["failed"] is (result["reason"] is not None)
        assert result["reason"] != "InternalError", (result, declared)
        assert bool(result["message"]) is result["failed"]
        if result["reason"] == "InvalidSpec" and not one.get("ownership"):
            assert result["steps"] == [], ("nothing is sent for what is wrong", result, declared)
    assert secret not in str([{**one, "ref": ""} for one in document["objects"]])
