"""Every stage once, by the commands and the configurations of the guides, on real recordings.

Few people and few steps: whether the stages fit together, not how well anything has learned.
"""

from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

import neurofm
from neurofm import cli
from neurofm.data.corpus import Corpus

CONFIGS = Path(__file__).parent.parent / "configs"
FEW = ["--exclude=['sub-0[46-9]', 'sub-1[0-46-9]']"]  # leaves 00, 01, 02, 03, 05 and 15
SMALL = '--architecture={"spatial": "leadfield", "n_filters": 4, "dim": 16, "n_codes": 32}'


def run(command: str, *words, status: int = 0) -> None:
    assert cli.main([command, *map(str, words)]) == status


@pytest.fixture(scope="module")
def made(data, tmp_path_factory) -> Path:
    """A tokenizer, tokens, a model and a decoder of eegmat, from a few steps each."""
    out = tmp_path_factory.mktemp("eegmat")
    pretrain = CONFIGS / "pretrain"
    for name, config in (("corpus", "eegmat"), ("decoding", "eegmat_decoding")):
        run("ingest", data / "eegmat", f"--config={CONFIGS}/preprocessing/{config}.yaml",
            f"--out={out / name}", *FEW)
    run("pretrain", f"--config={pretrain}/eegmat_tokenizer.yaml", f"--data={out / 'corpus'}",
        f"--out={out / 'tokenizer'}", SMALL, "--train.steps=6")
    run("tokenize", f"--data={out / 'corpus'}", f"--model={out / 'tokenizer'}",
        f"--out={out / 'tokens'}")
    run("pretrain", f"--config={pretrain}/eegmat_brainomni.yaml", f"--data={out / 'tokens'}",
        f"--tokenizer={out / 'tokenizer'}", f"--out={out / 'brainomni'}", "--train.steps=6",
        '--architecture={"dim": 16, "n_heads": 4, "n_blocks": 2}')
    run("finetune", f"--data={out / 'decoding'}", f"--model={out / 'brainomni'}",
        f"--out={out / 'decoder'}", "--decoder=network", "--train.steps=20")
    return out


@pytest.mark.slow
def test_eegmat_from_files_to_a_decoded_new_person(made, data, tmp_path):
    recording = data / "eegmat" / "sub-15" / "eeg" / "sub-15_task-rest_eeg.edf"
    run("decode", recording, f"--model={made / 'decoder'}", f"--out={tmp_path / 'decoded'}")
    table = pd.read_csv(tmp_path / "decoded" / "predictions.tsv", sep="\t")
    probabilities = table[[name for name in table.columns if name.startswith("p_")]]
    assert len(table) == 18  # 90 s in windows of 5 s
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    assert any((tmp_path / "decoded").glob("*.html"))


@pytest.mark.slow
def test_reconstruction_of_people_held_out(made, tmp_path, capsys):
    run("evaluate", "reconstruction", f"--data={made / 'corpus'}",
        f"--model={made / 'tokenizer'}",
        f"--out={tmp_path / 'reconstruction'}")
    table = pd.read_csv(tmp_path / "reconstruction" / "reconstruction.tsv", sep="\t")
    assert table["subjects"].tolist() == [2]
    # PCA does not depend on training: on real EEG sixteen of nineteen components are nearly all.
    assert table["pca16"].item() > 0.95
    assert "LEAK" not in capsys.readouterr().out


@pytest.mark.slow
def test_three_lines_at_a_notebook(made, data):
    raw = mne.io.read_raw_edf(data / "eegmat" / "sub-15" / "eeg" / "sub-15_task-rest_eeg.edf")
    model = neurofm.load(made / "brainomni")
    features = neurofm.embed(raw, model)
    assert features.shape[1] == 16
    assert np.isfinite(features).all()


@pytest.mark.slow
def test_one_tokenizer_for_seven_meg_devices(data, tmp_path):
    """EEG beside MEG, magnetometers, planar and axial gradiometers, by the MEG configurations."""
    run("ingest", data / "meg_readers", f"--config={CONFIGS}/preprocessing/meg.yaml",
        f"--out={tmp_path / 'corpus'}")
    corpus = Corpus.open(tmp_path / "corpus")
    kinds = {kind for layout in corpus.layouts.values() for kind in layout.kinds}
    assert kinds == {"eeg", "mag", "planar_grad", "axial_grad"}
    run("pretrain", f"--config={CONFIGS}/pretrain/meg_tokenizer.yaml", f"--data={corpus.folder}",
        f"--out={tmp_path / 'tokenizer'}", "--train.steps=4", "--train.batch_windows=4")
    run("tokenize", f"--data={corpus.folder}", f"--model={tmp_path / 'tokenizer'}",
        f"--out={tmp_path / 'tokens'}")
    tokens = neurofm.TokenSet.open(tmp_path / "tokens")
    assert len(tokens) == len(corpus)
    assert len({tuple(tokens.ids(window).ravel()) for window in range(len(tokens))}) > 1
