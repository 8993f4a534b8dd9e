# SPDX-License-Identifier: GPL-3.0-or-later
"""What all models of the API have in common: names, strictness, rules between fields, parsing and dumping.

A body as the API server or a YAML file gives it comes in, a typed block goes out, or a DbopsError that names
the field. The resolver and the reconcilers call `parse`; `api.crd` turns the same classes into schemas.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

if TYPE_CHECKING:
    from dbops_operator.api.kind import Kind

VALIDATIONS = "x-kubernetes-validations"

# Words that the API writes in capitals when they are not a name's first.
_ACRONYMS = {"db": "DB", "id": "ID", "rls": "RLS", "sql": "SQL", "ssl": "SSL"}


def camel_case(name: str) -> str:
    """Give the API's spelling of a field's NAME: `create_db` -> `createDB`, `schema_` -> `schema`."""
    first, *others = name.strip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in others)


class Rule(ABC):
    """A relation between fields of one block; checked by the API server as CEL, and here for files.

    FIELDS are names of attributes; `message` is what the user reads.
    """

    def __init__(self, *fields: str, message: str) -> None:
        """Take the names of the FIELDS that it compares."""
        self.fields = fields
        self.message = message

    @property
    def given(self) -> list[str]:
        """One CEL expression per field that is true when the field is given."""
        return [f"has(self.{camel_case(name)})" for name in self.fields]

    @property
    @abstractmethod
    def cel(self) -> str:
        """The rule as the API server evaluates it."""

    @abstractmethod
    def holds(self, count: int) -> bool:
        """Tell whether COUNT given fields keep the rule."""


class AtLeastOne(Rule):
    """One of the fields is given, or several."""

    @property
    def cel(self) -> str:
        """The rule as the API server evaluates it."""
        return " || ".join(self.given)

    def holds(self, count: int) -> bool:
        """Tell whether COUNT given fields keep the rule."""
        return count >= 1


class NotBoth(Rule):
    """At most one of two fields is given."""

    @property
    def cel(self) -> str:
        """The rule as the API server evaluates it."""
        return f"!({' && '.join(self.given)})"

    def holds(self, count: int) -> bool:
        """Tell whether COUNT given fields keep the rule."""
        return count <= 1


class ExactlyOne(Rule):
    """One of the fields is given and no other."""

    @property
    def cel(self) -> str:
        """The rule as the API server evaluates it."""
        return " + ".join(f"({given} ? 1 : 0)" for given in self.given) + " == 1"

    def holds(self, count: int) -> bool:
        """Tell whether COUNT given fields keep the rule."""
        return count == 1


class Block(BaseModel):
    """Base of every object in the API.

    Fields that nobody wrote are not in `model_fields_set`, so an explicit `false` or `0` is told from an
    absent one. Unknown fields are ignored: the API server prunes them too. Keys of maps such as labels are
    data and never renamed.
    """

    model_config = ConfigDict(
        # Of the two names the API's is for input and output, the attribute's for code that builds a block.
        alias_generator=AliasGenerator(alias=camel_case),
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        frozen=True,
        strict=True,
        # Texts under the fields are what `kubectl explain` shows.
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: object) -> object:
        # As the API server does before it sets defaults: none of our fields is nullable.
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            if not rule.holds(len(self.model_fields_set.intersection(rule.fields))):
                raise ValueError(rule.message)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the block's rules to its schema."""
        schema = handler(core)
        if cls.rules:
            definition = handler.resolve_ref_schema(schema)
            definition[VALIDATIONS] = [{"rule": rule.cel, "message": rule.message} for rule in cls.rules]
        return schema


@dataclass(frozen=True)
class SchemaExtra:
    """Annotation that adds keys to the schema of one field."""

    # Python before 3.13 hashes annotations, and a map has no hash.
    values: Mapping[str, Any] = field(hash=False)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the keys."""
        return {**handler(core), **self.values}


def immutable(what: str) -> SchemaExtra:
    """Give the annotation of a field that never changes; WHAT is its name in the message."""
    return SchemaExtra({VALIDATIONS: [{"rule": "self == oldSelf", "message": f"{what} is immutable"}]})


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Int32 = Annotated[int, SchemaExtra({"format": "int32"})]
Int64 = Annotated[int, SchemaExtra({"format": "int64"})]
Port = Annotated[int, Field(ge=1, le=65535), SchemaExtra({"format": "int32"})]
# Kubernetes keeps whole seconds.
Time = Annotated[datetime, Field(strict=False), PlainSerializer(_rfc3339, return_type=str, when_used="json")]

SQLName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=63)]
"""A name on the server, as the API admits it."""
RequiredSQLName = Annotated[SQLName, Field(min_length=1)]
Privileges = Annotated[list[Annotated[str, Field(pattern=r"^[A-Z][A-Z ]*$")]], Field(min_length=1, max_length=20)]

AnyBlock = TypeVar("AnyBlock", bound=Block)
AnyStatus = TypeVar("AnyStatus", bound=Block)


def parse(kind: Kind[AnyBlock, AnyStatus], body: Mapping[str, Any]) -> AnyBlock:
    """Give the typed spec of an object of KIND from its BODY.

    Raises DbopsError(INVALID_SPEC) whose message and `field` name the field in the API's words.
    """
    return _validate(kind.spec, body.get("spec") or {}, root="spec")


def parse_status(kind: Kind[AnyBlock, AnyStatus], body: Mapping[str, Any]) -> AnyStatus:
    """Give the typed status of an object of KIND from its BODY; an object without one has an empty one."""
    return _validate(kind.status, body.get("status") or {}, root="status")


def dump(block: Block) -> dict[str, Any]:
    """Give BLOCK as it stands in a body: the API's names, and only what was set."""
    return block.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _validate(model: type[AnyBlock], data: object, *, root: str) -> AnyBlock:
    try:
        return model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        # Never the input itself: initSQL and the like may hold what is nobody's business.
        problems = [
            (_path(root, problem["loc"]), problem["msg"].removeprefix("Value error, "))
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    message = "; ".join(f"{path}: {text}" for path, text in problems[:5])
    if len(problems) > 5:
        message += f"; and {len(problems) - 5} more"
    raise DbopsError(Reason.INVALID_SPEC, message, field=problems[0][0])


def _path(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
