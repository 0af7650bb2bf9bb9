"""Devices below the model's band: decoded with the cost stated, or refused with the way out."""

import dataclasses
import json
import shutil

import mne
import numpy as np
import pandas as pd
import pytest
import torch

import neurofm
from neurofm import checkpoints, cli
from neurofm.checkpoints.robustness import FILE_NAME, Condition, Robustness
from neurofm.data.contract import InputContract
from neurofm.data.corpus import Corpus
from neurofm.data.lacks import Lacks
from neurofm.downstream.decoder import lacking
from neurofm.downstream.decoder.lacking import trained_band
from neurofm.models.decoder import Decoder, DecoderConfig
from tests.support.one_person import decode, save_raw
from tests.support.planted import SFREQ
from tests.support.resealed import resealed

COST = ("On recordings like this one: balanced accuracy 0.680 [0.600, 0.750] instead of 0.740 "
        "(validation subjects); chance 0.500.")


def curve(folder, low: float, edge_hz: float = 30.0):
    """A decoder with this curve: .74, and .68 [low, .75] below `edge_hz`."""
    found = [Condition(Lacks(), 0.74, 0.68, 0.8, {}),
             Condition(Lacks(edge_hz), 0.68, low, 0.75, {})]
    Robustness("balanced_accuracy", 0.5, 16, 16, 0, tuple(found)).save(folder)
    return folder


@pytest.fixture(scope="module")
def measured(decoder, tmp_path_factory):
    """measured(low) → the decoder with that interval; measured(None) → without a curve."""
    def make(low):
        folder = tmp_path_factory.mktemp("measured") / "decoder"
        shutil.copytree(decoder, folder)
        (folder / FILE_NAME).unlink(missing_ok=True)
        if low is not None:
            curve(folder, low)
        changes = {"without" if low is None else "add": (FILE_NAME,)}
        resealed(folder, **changes)  # without: as of a decoder that never had one
        return folder

    return make


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """At 64 Hz; the contract ends at 45 Hz."""
    return save_raw(tmp_path_factory.mktemp("slow") / "slow_raw.fif", sfreq=SFREQ / 2)


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """At 128 Hz, low-passed at 32 Hz by its header."""
    path = save_raw(tmp_path_factory.mktemp("filtered") / "filtered_raw.fif")
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    raw.filter(None, 32.0, verbose="ERROR").save(path, overwrite=True, verbose="ERROR")
    return path


def test_the_cost_is_stated_everywhere_and_alike(measured, slow, filtered, tmp_path, capsys):
    model = measured(0.6)
    for path in (slow, filtered):
        out = tmp_path / path.stem
        assert decode(path, model, out) == 0
        said = capsys.readouterr().out
        assert COST in said
        assert "The recording has nothing above 32 Hz." in said
        assert COST in json.loads((out / "results.json").read_text())["notes"]
        assert COST in (out / "report.html").read_text()
        table = pd.read_csv(out / "predictions.tsv", sep="\t")
        assert (table["expected_score"] == 0.68).all()
        assert (table["expected_low"] == 0.6).all()
        assert (table["expected_high"] == 0.75).all()


def test_no_cost_where_nothing_lacks(measured, tmp_path, capsys):
    path = save_raw(tmp_path / "whole_raw.fif")
    assert decode(path, measured(0.6), tmp_path / "out") == 0
    assert "On recordings like this one" not in capsys.readouterr().out
    assert "expected_score" not in pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")


@pytest.mark.parametrize("low", [0.45, None])
def test_refused_unless_told_where_the_interval_holds_chance_or_none_is_known(
    measured, slow, tmp_path, capsys, low
):
    model = measured(low)
    assert decode(slow, model, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "slow_raw.fif: wanted" in said
    assert "nothing above 32 Hz" in said
    assert "0.680 [0.450, 0.750]" in said if low else "What this costs is not known" in said
    assert "--lacking accept" in said
    assert not (tmp_path / "out").exists()
    assert decode(slow, model, tmp_path / "out", "--lacking=accept") == 0
    said = capsys.readouterr().out
    assert "0.680 [0.450, 0.750]" in said if low else "What this costs is not known" in said


def test_not_refused_where_a_tenth_of_the_training_recordings_end_there(
    measured, slow, tmp_path, capsys, monkeypatch
):
    """The cost is stated all the same."""
    monkeypatch.setattr(Decoder, "lowest_end_hz", property(lambda self: 32.0))
    for low, cost in ((0.45, "0.680 [0.450, 0.750]"), (None, "What this costs is not known")):
        assert decode(slow, measured(low), tmp_path / f"{low}") == 0
        said = capsys.readouterr().out
        assert "At least a tenth of the training recordings end at 32 Hz as well." in said
        assert cost in said


def test_the_band_of_most_and_of_a_tenth():
    assert trained_band([None] * 38 + [45.0] * 8) == (None, 45.0)
    assert trained_band([None] * 38 + [45.0] * 3) == (None, None)
    assert trained_band([64.0] * 9 + [45.0]) == (64.0, 45.0)
    assert trained_band([64.0] * 10 + [45.0, 30.0]) == (64.0, 45.0)
    assert trained_band([]) == (None, None)


def test_refused_where_that_is_asked(measured, slow, filtered, tmp_path, capsys):
    for path in (slow, filtered):
        assert decode(path, measured(0.6), tmp_path / "out", "--lacking=refuse") == 1
        assert "ends at 32 Hz" in capsys.readouterr().err


def test_a_few_channels_of_many(measured, tmp_path, capsys):
    path = save_raw(tmp_path / "few_raw.fif")
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR").pick(list(range(0, 16, 2)))
    raw.save(path, overwrite=True, verbose="ERROR")
    assert decode(path, measured(0.6), tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "The recording has 50 % of the channels." in said
    assert "not measured on recordings as bad as this" in said


def test_fewer_channels_than_any_that_were_measured(measured, tmp_path, capsys):
    model = measured(0.6)
    found = Robustness.read(model)
    sparse = Condition(Lacks(None, 0.75), 0.7, 0.6, 0.75, {})
    dataclasses.replace(found, conditions=(*found.conditions, sparse)).save(model)
    resealed(model)
    path = save_raw(tmp_path / "few_raw.fif")
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR").pick(list(range(0, 16, 2)))
    raw.save(path, overwrite=True, verbose="ERROR")
    assert decode(path, model, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "wanted 12 channels or more" in said
    assert "50 % of the channels (What this costs is not known" in said
    assert decode(path, model, tmp_path / "out", "--lacking=accept") == 0
    assert "not measured on recordings as bad as this" in capsys.readouterr().out


def test_several_recordings_each_for_itself(measured, slow, tmp_path):
    (tmp_path / "in").mkdir()
    path = save_raw(tmp_path / "in" / "whole_raw.fif")
    shutil.copy(slow, path.with_name("slow_raw.fif"))
    assert decode(path.parent, measured(0.6), tmp_path / "out") == 0
    notes = pd.read_csv(tmp_path / "out" / "summary.tsv", sep="\t").set_index("folder")["notes"]
    assert COST in notes["slow_raw"]
    assert "instead of" not in str(notes["whole_raw"])


def test_stream_says_the_same(measured, slow, tmp_path, capsys):
    words = [f"--replay={slow}", "--speed=40", f"--out={tmp_path / 'out'}"]
    assert cli.main(["stream", f"--model={measured(None)}", *words]) == 1
    assert "--lacking accept" in capsys.readouterr().err
    assert cli.main(["stream", f"--model={measured(0.6)}", *words]) == 0
    assert COST in capsys.readouterr().out
    assert COST in (tmp_path / "out" / "report.html").read_text()
    table = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    assert (table["note"].fillna("") == "").all()


def test_embed(planted, measured, slow, tmp_path, capsys):
    words = [str(slow), f"--model={planted.backbone}", f"--out={tmp_path / 'out'}"]
    assert cli.main(["embed", *words]) == 1
    assert "--lacking accept" in capsys.readouterr().err
    assert cli.main(["embed", *words, "--lacking=accept"]) == 0
    said = capsys.readouterr().out
    assert "nothing above 32 Hz" in said
    assert "What this costs is not known" in said
    with pytest.raises(ValueError, match=r'lacking="accept"'):
        neurofm.embed(slow, planted.backbone)
    accepted = neurofm.embed(slow, planted.backbone, lacking="accept")
    assert np.array_equal(np.asarray(accepted), np.asarray(neurofm.embed(slow, measured(0.6))))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Labeled recordings of fourteen people at 64 Hz, brought to the band up to 45 Hz."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "in").mkdir()
    for person in range(14):
        save_raw(folder / "in" / f"sub-{person:02d}_raw.fif", sfreq=SFREQ / 2, seed=person)
    people = {part: [f"{k:02d}" for k in chosen] for part, chosen in
              (("validation", (8, 9)), ("test", (10, 11, 12, 13)))}
    assert cli.main([
        "ingest", str(folder / "in"), f"--out={folder / 'corpus'}", "--contract.sfreq=128",
        "--contract.lowpass_hz=45", "--contract.window_s=2", "--contract.notch_hz=[]",
        "--contract.kinds=[eeg]", "--lacking=accept", "--label.source=event",
        "--label.mapping={left: left, right: right}", "--workers=1",
        "--files=[{pattern: 'sub-(?P<subject>\\d+)'}]",
        *(f"--splits.{part}={json.dumps(names)}" for part, names in people.items())]) == 0
    return folder


def test_a_decoder_of_such_recordings_lacks_nothing(corpus, planted, slow, tmp_path, capsys):
    words = [f"--data={corpus / 'corpus'}", f"--model={planted.backbone}", "--decoder=network"]
    assert cli.main(["finetune", *words, f"--out={tmp_path / 'no'}", "--lacking=refuse"]) == 1
    assert "--lacking accept" in capsys.readouterr().err
    assert cli.main(["finetune", *words, f"--out={tmp_path / 'decoder'}",
                     "--train.steps=20"]) == 0
    said = "14 of 14 recordings do not hold the band up to 45 Hz: nothing above 32 Hz in 14."
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "decoder" / "report.html").read_text()
    assert checkpoints.load(tmp_path / "decoder").band_end_hz == 32
    assert decode(slow, tmp_path / "decoder", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "The training recordings end at 32 Hz as well." in said
    assert "instead of" not in said


def test_evaluate_decoding_says_it(corpus, tmp_path, capsys):
    words = [f"--data={corpus / 'corpus'}", "--methods=[csp_lda]", "--tuning=1"]
    assert cli.main(["evaluate", "decoding", *words, f"--out={tmp_path / 'no'}",
                     "--lacking=refuse"]) == 1
    assert cli.main(["evaluate", "decoding", *words, f"--out={tmp_path / 'out'}"]) == 0
    assert "nothing above 32 Hz in 14" in capsys.readouterr().out


def test_a_band_that_goes_with_the_labels_is_told(corpus):
    """As where the recordings of one state were filtered, and those of the other were not."""
    made = Corpus.open(corpus / "corpus")
    assert len(lacking.of_corpus(made)) == 1  # all of both end at 32 Hz
    whole = json.dumps({**json.loads(made.recordings["quality"][0]), "band_missing_hz": []})
    quality = [whole if k % 2 else text for k, text in enumerate(made.recordings["quality"])]
    label = np.where(made.windows["recording"] % 2, "left", "right")
    uneven = dataclasses.replace(made, recordings=made.recordings.assign(quality=quality),
                                 windows=made.windows.assign(label=label))
    said = lacking.of_corpus(uneven)
    assert said[0].startswith("7 of 14 recordings")
    assert "100 % of the recordings with right and 0 % of those with left" in said[1]


@pytest.mark.parametrize(("path", "end"), [
    ("eegmmidb/S001R02.edf", 80), ("eeglab_sample/eeglab_data.set", 64)])
def test_real_recordings_by_a_model_of_256_hz(data, tmp_path, capsys, path, end):
    from tests.support.planted import make_backbone

    backbone = checkpoints.load(make_backbone(tmp_path / "backbone"))
    torch.manual_seed(0)
    model = Decoder(DecoderConfig(backbone=backbone.config, classes=("open", "closed")), backbone)
    model.contract = InputContract(window_s=4.0)
    folder = tmp_path / "decoder"
    checkpoints.save_checkpoint(model.eval(), folder, config={}, parents={},
                                ledger={"recordings": []}, metrics={})
    assert decode(data / path, folder, tmp_path / "no") == 1
    assert "--lacking accept" in capsys.readouterr().err
    curve(folder, 0.6, 45.0)
    resealed(folder, add=(FILE_NAME,))
    assert decode(data / path, folder, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert COST in said
    assert f"The recording has nothing above {end} Hz." in said
    table = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    assert len(table) > 10
    assert (table["expected_low"] == 0.6).all()
