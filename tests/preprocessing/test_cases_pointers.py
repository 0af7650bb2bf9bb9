"""Recordings and weights that git-lfs and git-annex did not fetch say so, and how to fetch them."""

import pytest

from neurofm.preprocessing import readers
from neurofm.preprocessing.readers import ReadError


@pytest.mark.parametrize(("text", "do"), [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12345\n", "git lfs pull"),
    ("/annex/objects/MD5E-s123456--d41d8cd9.edf\n", "datalad get"),
    ("../../.git/annex/objects/Xq/MD5E-s1--d4.edf", "datalad get")])
@pytest.mark.parametrize("name", ["rec.edf", "rec_raw.fif", "rec.set"])
def test_cases_bad_input_a_pointer_says_how_to_fetch_it(tmp_path, text, do, name):
    (tmp_path / name).write_text(text)
    with pytest.raises(ReadError, match=do):
        readers.read(tmp_path / name)


@pytest.mark.parametrize(("change", "words"), [
    (lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n",
     "git lfs pull"),
    (lambda whole: whole[:len(whole) // 2], "not copied whole")])
def test_cases_bad_input_weights_that_were_not_fetched(tmp_path, change, words):
    import torch
    from safetensors.torch import save

    from neurofm import checkpoints

    weights = save({"weight": torch.zeros(100)})
    (tmp_path / "model.safetensors").write_bytes(change(weights))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=words):
        checkpoints.load(tmp_path)
