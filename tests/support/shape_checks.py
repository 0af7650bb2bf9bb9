"""Shapes and types are checked once for each kind of call, not at every call.

`pytest --jaxtyping-packages` checks what each function takes and gives against its annotations,
which takes longer than the small functions themselves. A function that was given and gave the same
kinds before (types, shapes, dtypes) would pass again: it is called as it is.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from types import FunctionType
from typing import Any

import jaxtyping
import numpy as np
import torch
from jaxtyping import _decorator

_jaxtyped = _decorator.jaxtyped
_ARRAYS = {torch.Tensor, torch.nn.Parameter, np.ndarray}
_AS_THEY_ARE = {str, bool, type(None)}
_AT_MOST = 32  # items of a list that are looked at; a call with more is checked


class _Unknown(Exception):
    """No kind is known: the call is checked."""


_paused: list[bool] = []


@contextmanager
def paused() -> Iterator[None]:
    """As users have it: wrong types are found by what neurofm itself checks."""
    _paused.append(True)
    try:
        yield
    finally:
        _paused.pop()


def install() -> None:
    """Before the first import of a package that is checked."""
    jaxtyping.jaxtyped = _decorator.jaxtyped = _checked_once


def _checked_once(fn=_decorator._sentinel, *, typechecker=_decorator._sentinel):
    if not isinstance(fn, FunctionType) or typechecker in (None, _decorator._sentinel):
        return _jaxtyped(fn, typechecker=typechecker)
    return _remembering(fn, typechecker)


def _remembering(fn: Callable, typechecker) -> Callable:
    given, found, box = set(), set(), threading.local()

    def gives(*args, **kwargs):
        return box.out

    # As written in the module of `fn`, whose names its annotations have.
    gives = wraps(fn)(FunctionType(gives.__code__, fn.__globals__, fn.__name__, None,
                                   gives.__closure__))
    # Made at the first call: most functions are never called in a session.
    checked, checked_gives = (cache(partial(_jaxtyped, each, typechecker=typechecker))
                              for each in (fn, gives))

    @wraps(fn)
    def call(*args, **kwargs):
        if _paused:
            return fn(*args, **kwargs)
        try:
            kinds = _kind(args), _kind(kwargs)
        except _Unknown:
            return checked()(*args, **kwargs)
        if kinds not in given:
            out = checked()(*args, **kwargs)
            given.add(kinds)
            return out
        out = fn(*args, **kwargs)
        try:
            answered = kinds, _kind(out)
        except _Unknown:
            answered = None
        if answered not in found:
            box.out = out
            checked_gives()(*args, **kwargs)
            box.out = None
            if answered is not None:
                found.add(answered)
        return out

    return call


def _kind(value: Any):
    """What a check of `value` depends on; hashable."""
    kind = type(value)
    if kind in _ARRAYS:
        return kind, value.dtype, tuple(value.shape)
    if kind in _AS_THEY_ARE:
        return value if kind is not str or len(value) < _AT_MOST else kind
    if isinstance(value, torch.Tensor):  # without values, while a model is exported
        raise _Unknown
    if isinstance(value, tuple | list):
        if len(value) > _AT_MOST:
            raise _Unknown
        return kind, *map(_kind, value)
    if isinstance(value, dict):
        if len(value) > _AT_MOST:
            raise _Unknown
        return kind, *map(_kind, value.items())
    return kind
