"""The public BrainOmni files hold a rotary table without its sines: both readings of it, against
the reference implementation's outputs."""

import contextlib
import json
from io import StringIO

import pytest
import torch
from safetensors.torch import load_file

from neurofm import checkpoints
from neurofm.data.batch import Batch
from neurofm.published.command import main as import_published

FLOATS = 1e-4  # relative to the largest value


@pytest.fixture(scope="module")
def io(golden):
    return load_file(golden("brainomni_cosine_table") / "io.safetensors")


@pytest.fixture(scope="module", params=["trained", "released"])
def imported(request, golden, tmp_path_factory):
    """(rotary, checkpoint, what the import said)."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    words = [str(golden("brainomni_cosine_table")), "--family=brainomni", f"--out={out}"]
    words += ["--rotary=released"] if request.param == "released" else []
    with contextlib.redirect_stdout(StringIO()) as said:
        assert import_published(words) == 0
    return request.param, out, said.getvalue()


def batch(io, name: str = "x") -> Batch:
    n = len(io[name])
    return Batch(io[name], io["pos"][:n], io["sensor_type"][:n],
                 torch.ones(io[name].shape[:2], dtype=torch.bool))


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error < FLOATS, f"relative error {error:.1e}"


def test_brainomni_cosine_table_parity(imported, io):
    rotary, out, _ = imported
    model = checkpoints.load(out)
    with torch.no_grad():
        assert_close(model.embed(batch(io)), io[f"encode_as_{rotary}"])
        logits = model.logits(io["tokenizer_indices_overlap"].long())
        assert_close(logits.flatten(-2), io[f"logits_as_{rotary}"])
    other = "released" if rotary == "trained" else "trained"
    with torch.no_grad(), pytest.raises(AssertionError):
        assert_close(model.embed(batch(io)), io[f"encode_as_{other}"])


def test_brainomni_cosine_table_is_told_and_kept(imported):
    rotary, out, said = imported
    assert "240 rows of cosines and no sines" in said
    assert f"rotary {rotary}" in said
    assert json.loads((out / "config.json").read_text())["rotary"] == rotary
    card = (out / "README.md").read_text()
    assert "240 rows of cosines and no sines" in card
    assert f"- rotary: {rotary}" in card


def test_brainomni_cosine_table_never_switches_in_silence(imported, io):
    """The reference rotates once a signal was longer than its table, and from then on: here a long
    signal is refused, or rotated as all, and changes nothing."""
    rotary, out, _ = imported
    model, short, long = checkpoints.load(out), batch(io), batch(io, "x_long")
    assert io["encode_long"].shape[2] > 240
    with torch.no_grad():
        before = model.embed(short)
        if rotary == "trained":
            assert_close(model.embed(long), io["encode_long"])
        else:
            with pytest.raises(ValueError, match=r"up to 240 frames, these windows have 248: use "
                                                 r"shorter windows, or import .*--rotary trained"):
                model.embed(long)
        assert torch.equal(model.embed(short), before)


def test_bad_input_brainomni_cosine_table_asked_for_where_there_is_none(released, tmp_path):
    with pytest.raises(ValueError, match="holds no rotary table without sines"):
        import_published([str(released("brainomni")), "--family=brainomni", "--rotary=released",
                          f"--out={tmp_path / 'out'}"])
