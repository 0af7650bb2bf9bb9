"""Pickles of numbers are read without being run; whatever else they hold is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest

from neurofm.preprocessing.pairing import safe_pickle
from neurofm.preprocessing.readers import ReadError

REGIONS = ("Cuneus", "Putamen", "Thalamus", "Global")
VALUES = np.random.default_rng(0).standard_normal((30, len(REGIONS)))  # [volume, region]


@pytest.mark.parametrize(("held", "wanted"), [
    (eval, "builtins.eval"), (np.load, "numpy.load"), (pd.read_pickle, "read_pickle"),
    ({"a": np.zeros((3, 4))}, "one series a region"), (np.zeros((4, 4)), "does not tell volumes"),
    ([["a", "b"], ["c", "d"], ["e", "f"]], "could not convert"), ("text", "got str"),
])
def test_other_pickles_are_refused(tmp_path, held, wanted):
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(held))
    with pytest.raises(ReadError, match=wanted):
        safe_pickle.load(file)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_pickles_may_hold(tmp_path, protocol):
    values, file = VALUES, tmp_path / "x.pkl"
    columns = pd.Index(REGIONS, dtype=object)
    mixed = pd.DataFrame({"a": np.arange(30), "b": values[:, 0]})
    for held, wanted in (
        (pd.DataFrame(values, columns=list(REGIONS)), values),
        (pd.DataFrame(values.copy(order="F"), columns=columns), values),
        (mixed, mixed.to_numpy()),
        ({np.str_(name): pd.Series(row) for name, row in zip(REGIONS, values.T, strict=True)},
         values),
        ({name: [np.float64(x) for x in row] for name, row in zip(REGIONS, values.T, strict=True)},
         values),
        (values.astype(">f4"), values), (np.asfortranarray(values), values),
    ):
        file.write_bytes(pickle.dumps(held, protocol))
        names, found, _ = safe_pickle.load(file)
        assert np.allclose(found, wanted, atol=1e-5)
        assert names == (["a", "b"] if held is mixed else
                         [] if isinstance(held, np.ndarray) else list(REGIONS))
