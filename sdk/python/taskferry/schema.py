"""JSON Schemas from type hints, and arguments as these hints want them."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

if typing.TYPE_CHECKING:
    from .context import Context

_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    dict: {"type": "object"},
    list: {"type": "array"},
}


class Unsupported(TypeError):
    """No schema can be made of a type hint."""


def schema_of(hint: Any) -> dict[str, Any]:
    """The schema of a type hint. `Annotated` adds a description (a text) or any keywords (a dict)."""
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        schema = schema_of(args[0])
        for more in args[1:]:
            schema |= {"description": more} if isinstance(more, str) else more if isinstance(more, dict) else {}
        return schema
    if origin in (Required, NotRequired):
        return schema_of(args[0])
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(arg) for arg in args]}
    if origin in (list, Sequence, set, frozenset):
        return {"type": "array", "items": schema_of(args[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return {"enum": [member.value for member in hint]}
        if dataclasses.is_dataclass(hint):
            hints = typing.get_type_hints(hint, include_extras=True)
            missing = dataclasses.MISSING
            fields = [field for field in dataclasses.fields(hint) if field.init]
            required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
            return _object({field.name: hints[field.name] for field in fields}, required)
        if typing.is_typeddict(hint):
            hints = typing.get_type_hints(hint, include_extras=True)
            return _object(hints, sorted(vars(hint)["__required_keys__"]))
    raise Unsupported(f"no JSON Schema can be made of {hint!r}; give input_schema=")


def _object(hints: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: schema_of(hint) for name, hint in hints.items()},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = list(required)
    return schema


def made(hint: Any, value: Any) -> Any:
    """A value of JSON, as the hint wants it: dataclasses and enums are made; all else stays."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Annotated, Required, NotRequired):
        return made(args[0], value)
    if origin in (Union, types.UnionType):
        wanted = [arg for arg in args if arg is not type(None)]
        return value if value is None or len(wanted) != 1 else made(wanted[0], value)
    if origin in (list, Sequence) and isinstance(value, list):
        return [made(args[0], item) for item in value]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint, include_extras=True)
        return hint(**{name: made(hints.get(name, Any), item) for name, item in value.items()})
    if hint is float and type(value) is int:
        return float(value)
    return value


class Signature:
    """How a function takes the arguments of a call: each by its name; and its context, if a parameter is one."""

    def __init__(self, function: Callable[..., Any], context: type[Context]):
        hints = typing.get_type_hints(function, include_extras=True)
        self._hints: dict[str, Any] = {}
        self._context: str | None = None
        self._required: list[str] = []
        self.rest = False
        for name, parameter in inspect.signature(function).parameters.items():
            hint = hints.get(name, Any)
            if hint is context:
                self._context = name
            elif parameter.kind is parameter.VAR_KEYWORD:
                self.rest = True
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise Unsupported(f"{function.__name__}: arguments of a call come by name, so {name} gets none")
            else:
                self._hints[name] = hint
                if parameter.default is parameter.empty:
                    self._required.append(name)
        self._returns = hints.get("return")

    def input_schema(self) -> dict[str, Any]:
        schema = _object(self._hints, self._required)
        if self.rest:
            del schema["additionalProperties"]
        return schema

    def output_schema(self) -> dict[str, Any] | None:
        """That of what the function returns, if it is a dataclass or a TypedDict."""
        hint = self._returns
        if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or typing.is_typeddict(hint)):
            return schema_of(hint)
        return None

    def bind(self, context: Context, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What to call the function with."""
        bound = {
            name: made(self._hints.get(name, Any), value)
            for name, value in arguments.items()
            if self.rest or name in self._hints
        }
        if self._context:
            bound[self._context] = context
        return bound
