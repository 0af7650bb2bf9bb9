"""BrainOmni: our numbers against the reference implementation's, from the same weights, read where
they were published and through the checkpoint that `neurofm import` makes of them.

Works with any folder in the golden format: NEUROFM_GOLDEN says where it, or its parent, lies.
"""

import json
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from neurofm import checkpoints, published
from neurofm.data.batch import Batch
from neurofm.models.brainomni import BrainOmni
from neurofm.nn.losses import distance, zscore
from neurofm.published.command import main as import_published

FLOATS = 1e-4  # relative to the largest value
INDICES = 0.995


class Golden(NamedTuple):
    model: BrainOmni
    io: dict[str, Tensor]
    batch: Batch
    metrics: dict[str, float]


@pytest.fixture(scope="module", params=["published", "imported"])
def reference(request, golden, tmp_path_factory) -> Golden:
    folder = golden("brainomni")
    if request.param == "published":
        model = published.load("brainomni", folder)
    else:
        out = tmp_path_factory.mktemp("imported") / "out"
        assert import_published([str(folder), "--family=brainomni", f"--out={out}"]) == 0
        model = checkpoints.load(out)
    io = load_file(folder / "io.safetensors")
    valid = torch.ones(io["x"].shape[:2], dtype=torch.bool)
    metrics = json.loads((folder / "metrics.json").read_text())
    # Their sensor types 0, 1, 2 are our kinds eeg, mag and planar_grad.
    return Golden(model, io, Batch(io["x"], io["pos"], io["sensor_type"], valid), metrics)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error < FLOATS, f"relative error {error:.1e}"


def windowing(reference: Golden, name: str) -> tuple[float, str]:
    """Overlap and tail of a golden tokenization. At overlap 0 the reference drops the tail."""
    return (0.0, "drop") if name == "overlap0" else (reference.model.config.tokenizer.overlap,
                                                     "pad")


def tokenisations(reference: Golden) -> list[str]:
    prefix = "tokenizer_indices_"
    return [name.removeprefix(prefix) for name in reference.io if name.startswith(prefix)]


def test_brainomni_parity_sensor_embedding(reference):
    ours = reference.model.tokenizer.codec.sensors(reference.batch.geometry, reference.batch.kind)
    assert_close(ours, reference.io["sensor_embedding"])


def test_brainomni_parity_features(reference):
    assert tokenisations(reference)
    for name in tokenisations(reference):
        overlap, tail = windowing(reference, name)
        features, _ = reference.model.tokenizer.features(reference.batch, overlap, tail)
        theirs = reference.io[f"tokenizer_features_{name}"]
        assert features.shape == theirs.shape
        # A vector between two codes may fall to either side: as many may differ as indices may.
        error = (features - theirs).abs().amax(dim=-1) / theirs.abs().max()
        assert (error < FLOATS).float().mean() >= INDICES


def test_brainomni_parity_indices(reference):
    """At least 99.5 % of token ids agree, all windows taken together.

    Codes that coincide (1e-6 of the length of a feature vector) are the same token: codebooks of
    random weights hold copies of zero, between which the reference's rounding chooses.
    """
    raw, same = [], []
    codebook = reference.model.tokenizer.quantizer.codebook
    for name in tokenisations(reference):
        overlap, tail = windowing(reference, name)
        ids = reference.model.tokenizer.encode(reference.batch, overlap, tail).ids
        theirs = reference.io[f"tokenizer_indices_{name}"]
        assert ids.shape == theirs.shape
        level = torch.arange(len(codebook))
        apart = (codebook[level, ids] - codebook[level, theirs]).norm(dim=-1)
        same.append((apart < 1e-6).float().mean())
        raw.append((ids == theirs).float().flatten())
    assert min(same) >= INDICES
    assert torch.cat(raw).mean() >= INDICES


def test_brainomni_parity_reconstruction(reference):
    model, io, batch, metrics = reference
    windows = model.tokenizer.windows(batch.signal, 0.0, tail="drop")
    target = zscore(windows)
    assert_close(target, io["recon_target"])
    with torch.no_grad():
        signal = model.tokenizer.decode(io["tokenizer_indices_overlap0"], batch.geometry,
                                        batch.kind, batch.valid, overlap=0.0)
    signal = signal.view_as(io["recon"])
    assert_close(signal, io["recon"])
    far = distance(signal, target, batch.valid)
    ours = {"mae": far.l1, "pcc": far.pearson, "amp": far.magnitude, "phase": far.phase}
    for name, value in ours.items():
        assert abs(value.mean() - metrics[name]) <= FLOATS * max(1.0, abs(metrics[name])), name


def test_brainomni_parity_encode(reference):
    with torch.no_grad():
        assert_close(reference.model.embed(reference.batch), reference.io["encode"])


def test_brainomni_parity_logits(reference):
    with torch.no_grad():
        logits = reference.model.logits(reference.batch)
    assert_close(logits.flatten(-2), reference.io["logits_unmasked"])


def test_brainomni_parity_survives_saving(reference, tmp_path):
    """Saved in our format and loaded again, the published model is the same to the bit."""
    reference.model.save_pretrained(tmp_path)
    again = BrainOmni.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.embed(reference.batch), reference.model.embed(reference.batch))
    assert again.contract.geometry == "centred"
