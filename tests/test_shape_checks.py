"""A function is checked at its first call of each kind, and when it answers another kind."""

import beartype
import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor


def test_each_kind_of_call_and_of_answer_is_checked():
    calls = []

    @jaxtyping.jaxtyped(typechecker=beartype.beartype)
    def first(x: Float[Tensor, "row column"], n: int = 1) -> Float[Tensor, " row"]:
        calls.append(n)
        return x[:, 0] if len(calls) < 5 else x[0]

    for _ in range(3):
        assert first(torch.ones(2, 3)).shape == (2,)
    for wrong in (torch.ones(2), torch.ones(2, 3, dtype=torch.int64), "words"):
        for _ in range(2):
            with pytest.raises(jaxtyping.TypeCheckError, match="parameters"):
                first(wrong)
    with pytest.raises(jaxtyping.TypeCheckError, match="parameters"):
        first(torch.ones(2, 3), n="one")
    assert first(torch.ones(4, 3)).shape == (4,)
    for _ in range(2):  # of a known call another answer: shape [3] of [2, 3]
        with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
            first(torch.ones(2, 3))
    assert len(calls) == 6
