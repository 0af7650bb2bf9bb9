"""Decoding a live signal: as a file gets it, in time, and nothing lost when it is stopped."""

import json
import signal
import subprocess
import sys
import threading
import time

import mne
import numpy as np
import pandas as pd
import pytest
import torch

from neurofm import artifacts, checkpoints, cli
from neurofm.data.contract import FILE_NAME
from neurofm.data.fmri_contract import FMRIContract
from neurofm.downstream import stream as stream_module
from neurofm.downstream.stream import Timing, read_table, run_live
from neurofm.downstream.use import centering
from neurofm.downstream.use import live as live_module
from neurofm.downstream.use.live import Lsl, Replay, template_of
from neurofm.models.decoder import Decoder, DecoderConfig
from neurofm.preprocessing import readers
from neurofm.preprocessing.streaming import CausalStandardizer
from tests.support import flagged
from tests.support.one_person import decode, save_raw
from tests.support.planted import CONTRACT


def stream(path, model, out, *words) -> int:
    return stream_module.main([f"--replay={path}", f"--model={model}", f"--out={out}", *words])


@pytest.fixture(scope="module")
def replayed(decoder, tmp_path_factory):
    """(recording, folder of its stream at 20 times the speed of recording)."""
    folder = tmp_path_factory.mktemp("replayed")
    path = save_raw(folder / "somebody_raw.fif", n_windows=40)
    assert stream(path, decoder, folder / "out", "--speed=20") == 0
    return path, folder / "out"


def test_table_summary_and_page(replayed, decoder):
    path, out = replayed
    table = read_table(out / "predictions.tsv")
    assert list(table) == ["start_s", "stop_s", "predicted", "p_left", "p_right", "confidence",
                           "entropy", "abstained", "latency_ms", "bads", "note"]
    assert table["start_s"].tolist() == list(range(0, 80, 2))
    summary = json.loads((out / "summary.json").read_text())
    assert summary["windows"] == 40
    assert summary["latency_median_ms"] == pytest.approx(table["latency_ms"].median(), abs=0.1)
    assert 0 < summary["latency_median_ms"] <= summary["latency_p99_ms"]
    assert summary["kept_up"] == bool((table["latency_ms"] <= 2000 / 20).all())
    assert summary["ended"] == "the recording has ended"
    assert artifacts.open_sealed(out, "results", hashes=True).config["replay"] == str(path)
    page = (out / "report.html").read_text()
    for said in ("The decoder names", "Filters know only the past", "99th percentile", path.name,
                 "not a medical device", "data:image/png;base64,", "Not included: the filters"):
        assert said in page, said


def test_agrees_with_the_file(replayed, decoder, tmp_path):
    path, out = replayed
    assert decode(path, decoder, tmp_path / "out") == 0
    wanted = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    got = read_table(out / "predictions.tsv")
    r = np.corrcoef(wanted["p_left"], got["p_left"])[0, 1]
    assert r > 0.9, r
    assert (wanted["predicted"] == got["predicted"]).mean() > 0.85
    assert (got["predicted"] == ["left", "right"] * 20).mean() > 0.75


def test_again_does_nothing_and_other_things_are_not_overwritten(replayed, decoder, capsys):
    path, out = replayed
    assert stream(path, decoder, out, "--speed=20") == 0
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(ValueError, match="made with other settings"):
        stream(path, decoder, out, "--speed=10")
    (out.parent / "killed").mkdir()
    (out.parent / "killed" / "predictions.tsv").write_text("start_s\n")
    with pytest.raises(ValueError, match="holds other things"):
        stream(path, decoder, out.parent / "killed")


def test_hop_and_stop_after(replayed, decoder, tmp_path):
    path, _ = replayed
    assert stream(path, decoder, tmp_path / "out", "--speed=20", "--hop_s=0.5",
                  "--stop_after=5") == 0
    table = read_table(tmp_path / "out" / "predictions.tsv")
    assert table["stop_s"].tolist() == [2, 2.5, 3, 3.5, 4]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ended"] == "stopped"


def run_with(path, model, seconds, speed, monkeypatch, folder) -> Timing:
    """The first ten windows, with answers that take `seconds` each."""
    decoder, whole = checkpoints.load(model), readers.read(path)
    feed = Replay(whole.with_(signal=whole.signal[:, :128 * 20]), speed)
    standardizer = CausalStandardizer(feed.template, decoder.contract)
    plain = stream_module.answer_of

    def slow(*given):
        time.sleep(seconds)
        return plain(*given)

    monkeypatch.setattr(stream_module, "answer_of", slow)
    timing = Timing(2.0 / speed)
    run_live(feed, standardizer, decoder, folder / "predictions.tsv", timing, threading.Event())
    assert read_table(folder / "predictions.tsv")["start_s"].tolist() == list(range(0, 20, 2))
    return timing


def test_latency_is_from_the_last_sample_to_the_answer(replayed, decoder, monkeypatch, tmp_path):
    summary = run_with(replayed[0], decoder, 0.1, 5, monkeypatch, tmp_path).summary()
    assert 100 <= summary["latency_median_ms"] < 350
    assert summary["kept_up"]


def test_who_cannot_keep_up_is_told_and_loses_nothing(replayed, decoder, monkeypatch, tmp_path):
    summary = run_with(replayed[0], decoder, 0.2, 20, monkeypatch, tmp_path).summary()
    assert not summary["kept_up"]
    assert summary["late"] >= 8
    assert summary["latency_max_ms"] > 900  # it falls further behind from window to window
    assert summary["real_time_factor"] < 20


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle(replayed, decoder, tmp_path, how):
    out = tmp_path / "out"
    words = [f"--replay={replayed[0]}", f"--model={decoder}", f"--out={out}", "--speed=8"]
    process = subprocess.Popen([sys.executable, "-m", "neurofm.cli", "stream", *words],
                               stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines += [line] if " ms)" in line else []
        if len(lines) == 4:
            process.send_signal(how)
            break
    rest = process.communicate(timeout=60)[0]
    table = read_table(out / "predictions.tsv")
    assert 4 <= len(table) < 40
    assert table["p_left"].between(0, 1).all()
    if how == signal.SIGKILL:
        assert not artifacts.is_sealed(out)
    else:
        assert process.returncode == 0
        assert "Latency" in rest
        assert json.loads((out / "summary.json").read_text())["ended"] == "stopped"
        assert artifacts.is_sealed(out)


def test_signal_shorter_than_a_window(decoder, tmp_path, capsys):
    path = save_raw(tmp_path / "short_raw.fif", n_windows=2, sfreq=4 * 128)
    assert stream(path, decoder, tmp_path / "out", "--speed=20") == 0
    said = capsys.readouterr().out
    assert "no window was decoded (the recording has ended); one lasts 2 s" in said
    assert "Nothing could be decoded" in (tmp_path / "out" / "report.html").read_text()


def test_signal_lost_on_the_way(decoder, tmp_path):
    raw = mne.io.read_raw(save_raw(tmp_path / "whole_raw.fif", n_windows=12), preload=True,
                          verbose="ERROR")
    raw._data[:, 128 * 6:128 * 10] = 0.0
    raw._data[5, 128 * 3] = np.nan
    raw.save(tmp_path / "lost_raw.fif", verbose="ERROR")
    assert stream(tmp_path / "lost_raw.fif", decoder, tmp_path / "out", "--speed=20") == 0
    table = read_table(tmp_path / "out" / "predictions.tsv").set_index("start_s")
    assert table.loc[[6, 8], "p_left"].isna().all()
    assert table.loc[[6, 8], "predicted"].tolist() == ["", ""]
    assert table.loc[0, "p_left"] > 0
    assert table.loc[2, "bads"] == "E5"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "had no usable signal" in page
    assert "E5 could not be used" in page


def test_a_number_instead_of_classes(planted, replayed, tmp_path, capsys):
    backbone = checkpoints.load(planted.backbone)
    torch.manual_seed(0)
    config = DecoderConfig(backbone=backbone.config, classes=(), head="mlp")
    model = Decoder(config, backbone).eval()
    model.contract = CONTRACT
    checkpoints.save_checkpoint(model, tmp_path / "regressor", config={}, parents={},
                        ledger={"recordings": []}, metrics={})
    assert stream(replayed[0], tmp_path / "regressor", tmp_path / "live", "--speed=40") == 0
    assert "The decoder's number is" in capsys.readouterr().out
    assert decode(replayed[0], tmp_path / "regressor", tmp_path / "file") == 0
    path = tmp_path / "live" / "predictions.tsv"
    live = read_table(path)
    path.write_text(path.read_text() + "80.0\t82.0\t\t9.0\t\tlost\n")
    assert read_table(path)["predicted"].isna().tolist() == [False] * 40 + [True]
    file = pd.read_csv(tmp_path / "file" / "predictions.tsv", sep="\t")
    assert list(file) == ["start_s", "stop_s", "predicted"]
    assert live["predicted"].dtype == float
    assert np.corrcoef(live["predicted"], file["predicted"])[0, 1] > 0.8
    page = (tmp_path / "file" / "report.html").read_text()
    assert "mean and standard deviation over 40 windows" in page
    with pytest.raises(ValueError, match="predicts a number"):
        stream(replayed[0], tmp_path / "regressor", tmp_path / "no", "--abstain_below=0.6")
    assert not (tmp_path / "no").exists()


class Inlet:
    """What an LSL inlet does: samples [time, channel] in the order they came, then nothing."""

    def __init__(self, samples: np.ndarray, at_once: int):
        self.parts = [samples[i:i + at_once] for i in range(0, len(samples), at_once)]

    def pull_chunk(self, timeout: float, max_samples: int):
        if self.parts:
            part = self.parts.pop(0)
            return part, np.arange(len(part), dtype=float)
        time.sleep(timeout)
        return np.empty((0, 1)), np.empty(0)

    def close_stream(self):
        self.closed = True


def test_lsl_units_channels_and_silence(replayed, decoder, tmp_path):
    """A stream in µV with a trigger channel first gives what the replayed file gave."""
    path, out = replayed
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR").crop(0, 12)
    info = mne.create_info(["TRIG", *raw.ch_names], raw.info["sfreq"],
                           ["stim"] + ["eeg"] * len(raw.ch_names))
    info.set_montage(raw.get_montage(), verbose="ERROR")
    template, rows = template_of(info, "lsl:test", montage="standard_1005", unknown_head="refuse",
                                 rename={})
    assert rows.tolist() == list(range(1, 17))
    samples = np.concatenate([np.ones((1, raw.n_times)), 1e6 * raw.get_data()]).T
    feed = Lsl(Inlet(samples.astype(np.float32), 11), template, rows, np.full(16, 1e-6),
               silence_s=0.2)
    model = checkpoints.load(decoder)
    timing = Timing(2.0)
    run_live(feed, CausalStandardizer(template, model.contract), model,
             tmp_path / "predictions.tsv", timing, threading.Event())
    assert feed.ended == "nothing came for 0.2 s"
    assert feed.inlet.closed
    got, wanted = (read_table(folder / "predictions.tsv") for folder in (tmp_path, out))
    assert len(got) == 6
    # The file holds 32 bits of V; the stream had them of µV.
    assert np.abs(got["p_left"] - wanted["p_left"][:6]).max() < 1e-3
    assert (got["latency_ms"] < 1000).all()


def test_lsl_on_loopback(replayed, decoder, tmp_path):
    """A player and an inlet of MNE-LSL on this machine."""
    pytest.importorskip("mne_lsl", reason="MNE-LSL is not installed (extra `stream`)")
    from mne_lsl.player import PlayerLSL

    try:
        player = PlayerLSL(replayed[0], chunk_size=16, name="neurofm-test").start()
    except Exception as error:
        pytest.skip(f"liblsl does not work here: {error}")
    try:
        feed = live_module.open_lsl("neurofm-test", 3.0, montage="standard_1005",
                                    unknown_head="refuse", rename={})
    except ValueError as error:
        player.stop()
        pytest.skip(f"liblsl finds no stream on this machine: {error}")
    model = checkpoints.load(decoder)
    timing = Timing(0.5)
    run_live(feed, CausalStandardizer(feed.template, model.contract, 0.5), model,
             tmp_path / "predictions.tsv", timing, threading.Event(), stop_after=4)
    player.stop()
    table = read_table(tmp_path / "predictions.tsv")
    assert len(table) == 4
    assert (table["note"] == "").all()
    assert timing.summary()["latency_median_ms"] < 500


@pytest.mark.parametrize(("words", "said"), [
    ([], "one of --replay FILE and --lsl NAME"),
    (["--replay=a.edf", "--lsl=b"], "one of --replay FILE and --lsl NAME"),
    (["--replay=a.edf", "--speed=0"], "speed must be above 0"),
    (["--lsl=b", "--speed=2"], "is for --replay"),
    (["--replay=a.edf", "--hop_s=-1"], "hop_s must be above 0"),
    (["--replay=a.edf", "--abstain_below=1.5"], "abstain_below must be in [0, 1)"),
    (["--replay=a.edf", "--hops=1"], "did you mean 'hop_s'"),
])
def test_bad_input_on_the_command_line(words, said, capsys):
    with pytest.raises(SystemExit):
        stream_module.main(["--model=m", "--out=o", *words])
    assert said in capsys.readouterr().err


def test_bad_input_files(decoder, planted, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        stream(tmp_path / "none.edf", decoder, tmp_path / "out")
    helmet = save_raw(tmp_path / "helmet_raw.fif", kind="mag")
    with pytest.raises(ValueError, match="sensors of kind eeg"):
        stream(helmet, decoder, tmp_path / "out")
    with pytest.raises(ValueError, match="has no classes"):
        stream(helmet, planted.backbone, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_input_lsl_without_mne_lsl(decoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mne_lsl", None)
    monkeypatch.setitem(sys.modules, "mne_lsl.lsl", None)
    with pytest.raises(ValueError, match=r"pip install 'neurofm\[stream\]'"):
        stream_module.main(["--lsl=x", f"--model={decoder}", f"--out={tmp_path / 'out'}"])


def test_a_decoder_of_fmri_is_refused(decoder, replayed, tmp_path, capsys):
    scans = flagged.changed(decoder, tmp_path / "scans", FILE_NAME, FMRIContract().to_dict())
    out = tmp_path / "out"
    assert cli.main(["stream", f"--replay={replayed[0]}", f"--model={scans}",
                     f"--out={out}"]) == 1
    said = capsys.readouterr().err
    assert f"{scans}: wanted a contract of EEG or MEG, but this one is of fmri" in said
    assert "decode a file (neurofm decode)" in said
    assert not out.exists()
    model = checkpoints.load(scans)
    with pytest.raises(ValueError, match=r"detrend, band-pass, .*decode a file"):
        centering.seen_live(model, readers.read(replayed[0]))
