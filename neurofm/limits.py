"""Limits of settings: written beside the type of a field, checked when a config is made.

    @dataclass
    @limited
    class TokenizeConfig:
        batch_windows: Count = 16

Without a limit, numbers are finite and 0 or more, and a text is not empty unless its default is.
Whatever is no such value is a ValueError that names the field, what is wanted and what came.
Settings that depend on each other are checked by each class itself.
"""

import dataclasses
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

Config = TypeVar("Config")
LARGEST = 2**31 - 1  # of whole numbers
LARGEST_NUMBER = 1e12


@dataclass(frozen=True)
class Limit:
    """What values a number may have.

    Parameters
    ----------
    low, high
        Lowest and highest value.
    above, below
        The lowest, the highest value itself is not allowed.
    """

    low: float = 0
    high: float = math.inf
    above: bool = False
    below: bool = False

    def allows(self, value: float) -> bool:
        """Whether a number lies within the limit; NaN does not."""
        return ((self.low < value if self.above else self.low <= value)
                and (value < self.high if self.below else value <= self.high))

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.above else 'at least'} {self.low:g}"
        return (f"in {'(' if self.above else '['}{self.low:g}, {self.high:g}"
                f"{')' if self.below else ']'}")


@dataclass(frozen=True)
class MayBeEmpty:
    """Marks a text that may be empty although its default is not."""


@dataclass(frozen=True)
class Unchecked:
    """Marks a list or dict whose class brings what is in it into form itself."""


Count = Annotated[int, Limit(1)]
Whole = Annotated[int, Limit(0)]
Signed = Annotated[int, Limit(-LARGEST)]
Positive = Annotated[float, Limit(0, above=True)]
Share = Annotated[float, Limit(0, 1)]
PositiveShare = Annotated[float, Limit(0, 1, above=True)]  # (0, 1]
ShareBelowOne = Annotated[float, Limit(0, 1, below=True)]  # [0, 1)
InnerShare = Annotated[float, Limit(0, 1, above=True, below=True)]  # (0, 1)
SignedNumber = Annotated[float, Limit(-LARGEST_NUMBER)]
Text = Annotated[str, MayBeEmpty()]

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_DEFAULT = Limit()


def limited(cls: type[Config]) -> type[Config]:
    """Check the fields of a dataclass before its own `__post_init__`; stands below `@dataclass`.

    The limits are kept apart, so that the command line, its help and the docs see plain types. A
    class attribute `PREFIX` ("train.") is what messages write before the name of a field.
    """
    limits = typing.get_type_hints(cls, include_extras=True)
    for name, kind in getattr(cls, "_limits", {}).items():  # of a parent, whose types are plain now
        if name not in vars(cls).get("__annotations__", {}):
            limits[name] = kind
    cls._limits = limits  # type: ignore[attr-defined]
    plain = typing.get_type_hints(cls)
    cls.__annotations__ = {name: plain[name] for name in cls.__annotations__}
    own = vars(cls).get("__post_init__")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.name in limits:
                check(getattr(self, "PREFIX", "") + field.name, getattr(self, field.name),
                      limits[field.name], field.default == "")
        if own is not None:
            own(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return cls


def limited_arguments(init: Callable) -> Callable:
    """The same of the arguments of `__init__`, for configs of models."""
    kinds: dict[str, tuple[Any, bool]] = {}
    limits, plain = typing.get_type_hints(init, include_extras=True), typing.get_type_hints(init)
    signature = inspect.signature(init)
    for name, each in signature.parameters.items():
        if name in limits and each.kind is not each.VAR_KEYWORD:
            kinds[name] = limits[name], each.default in ("", each.empty)

    @functools.wraps(init)
    def checked(self, *args, **fields):
        given = dict(zip(list(signature.parameters)[1:], args, strict=False)) | fields
        for name in given.keys() & kinds.keys():
            check(f"{type(self).__name__}: {name}", given[name], *kinds[name])
        init(self, *args, **fields)

    checked.__signature__ = signature.replace(parameters=[  # type: ignore[attr-defined]
        each.replace(annotation=plain.get(name, each.annotation))
        for name, each in signature.parameters.items()])
    return checked


def check(name: str, value: Any, kind: Any, empty: bool = False) -> None:
    """Check one value.

    Parameters
    ----------
    name
        Name of the field, for the message.
    value
        What came.
    kind
        Type of the field, with limits.
    empty
        Whether a text may be empty.

    Raises
    ------
    ValueError
        The value is of another type, or outside the limits.
    """
    limit, origin = None, typing.get_origin(kind)
    if origin is Annotated:
        marks = kind.__metadata__
        limit = next((mark for mark in marks if isinstance(mark, Limit)), None)
        empty = empty or any(isinstance(mark, MayBeEmpty) for mark in marks)
        kind = kind.__origin__
        origin = typing.get_origin(kind)
        if Unchecked() in marks:
            kind, origin = origin[Any, Any] if origin is dict else origin[Any], origin
    if origin in (typing.Union, types.UnionType):
        _check_union(name, value, typing.get_args(kind), empty)
    elif origin is Literal:
        choices = typing.get_args(kind)
        if not any(value == each and type(value) is type(each) for each in choices):
            raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, got "
                             f"{value!r}")
    elif origin in (list, tuple, Sequence):
        _check_sequence(name, value, origin, typing.get_args(kind))
    elif origin in (dict, Mapping):
        _check_mapping(name, value, typing.get_args(kind))
    elif kind in (int, float):
        _check_number(name, value, kind, limit)
    elif kind is str:
        if not isinstance(value, str | os.PathLike):
            raise _wrong(name, "a text", value)
        if not empty and not str(value).strip():
            raise _wrong(name, "a text that is not empty", value)
    elif kind is not Any and isinstance(kind, type) and not isinstance(value, kind):
        raise _wrong(name, _WORDS.get(kind, f"a {kind.__name__}"), value)


def _check_number(name: str, value: Any, kind: type, limit: Limit | None) -> None:
    wanted = numbers.Integral if kind is int else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise _wrong(name, _WORDS[kind], value)
    allowed = limit or _DEFAULT
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
    if not allowed.allows(value):
        raise ValueError(f"{name} must be {allowed}, got {value}")
    largest = LARGEST if kind is int else LARGEST_NUMBER
    if math.isfinite(allowed.high):
        largest = max(largest, allowed.high)
    if not abs(value) <= largest:
        shown = f"{LARGEST} (2^31 − 1)" if kind is int else f"{largest:g}"
        raise ValueError(f"{name} must be at most {shown}, got {value}")


def _check_union(name: str, value: Any, kinds: tuple, empty: bool) -> None:
    """Raise what is wrong by the kind that comes nearest: where the type fits, its limit."""
    problems: list[ValueError] = []
    for kind in kinds:
        if kind is type(None):
            if value is None:
                return
            continue
        try:
            return check(name, value, kind, empty)
        except ValueError as problem:
            problems.append(problem)
    if len(problems) == 1:
        hint = "; null for none" if type(None) in kinds else ""
        raise ValueError(f"{problems[0]}{hint}") from problems[0]
    near = [problem for problem in problems if " must be " in str(problem)]
    raise near[0] if near else _wrong(name, " or ".join(
        _WORDS.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds
        if kind is not type(None)), value)


def _check_sequence(name: str, value: Any, origin: Any, kinds: tuple) -> None:
    fixed = origin is tuple and kinds and kinds[-1] is not ...
    if not isinstance(value, list | tuple):
        raise _wrong(name, f"a list of {len(kinds)}" if fixed else "a list", value)
    if fixed:
        if len(value) != len(kinds):
            raise _wrong(name, f"{len(kinds)} values", list(value))
        of_each = kinds
    else:
        of_each = (kinds[0] if kinds else Any,) * len(value)
    for place, (each, kind) in enumerate(zip(value, of_each, strict=True)):
        check(f"{name}[{place}]", each, kind)


def _check_mapping(name: str, value: Any, kinds: tuple) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(name, "names and values", value)
    for key, each in value.items():
        if kinds:
            check(f"a key of {name}", key, kinds[0])
            check(f"{name}[{key!r}]", each, kinds[1], empty=True)


def _wrong(name: str, wanted: str, value: Any) -> ValueError:
    shown = repr(value)
    return ValueError(f"{name}: wanted {wanted}, got "
                      f"{shown if len(shown) <= 80 else shown[:77] + '…'}")
