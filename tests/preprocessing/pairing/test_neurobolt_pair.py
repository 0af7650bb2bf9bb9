"""`neurofm pair`: EEG and fMRI of one scan find each other, share a clock, and what does not fit is
said. EEG is simulated, saved by MNE and read back from disk, as a person's would be."""

import json
import pickle
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import mne
import nibabel
import numpy as np
import pandas as pd
import pytest

from neurofm import processes
from neurofm.data.pairs import Pairs
from neurofm.preprocessing import pair

T_R, VOLUMES, START_S, SFREQ = 2.0, 30, 3.0, 250.0
REGIONS = ("Cuneus", "Putamen", "Thalamus", "Global")
CENTERS = ("name\tx\ty\tz\nGlobal\tn/a\tn/a\tn/a\nThalamus\t10\t-20\t8\nPutamen\t25\t5\t0\n"
           "Cuneus\t0\t-80\t20\n")


@dataclass
class Outcome:
    """What a run left behind."""

    status: int
    text: str
    out: Path

    @property
    def failures(self) -> dict[str, str]:
        """Name of file → reason, from failures.tsv."""
        table = pd.read_csv(self.out / "failures.tsv", sep="\t")
        return {Path(source).name: reason
                for source, reason in zip(table["source"], table["reason"], strict=True)}


@pytest.fixture
def eeg(make_raw):
    """eeg(seed, seconds, trigger, residue_uv, without) → eight electrodes, an EMG that is called
    EEG, and a trigger at each volume. residue_uv: of gradients, which reach each electrode with
    another amplitude. without: triggers left out."""

    def make(seed: int = 0, seconds: float = 66.0, trigger: str = "R149", residue_uv: float = 0.0,
             without: tuple[int, ...] = ()) -> mne.io.RawArray:
        raw = make_raw(9, seconds, SFREQ, seed)
        raw.rename_channels({raw.ch_names[-1]: "EMG1"})
        if residue_uv:
            random = np.random.default_rng(seed)
            turn = 2 * np.pi * np.arange(1, 120)[:, None] * raw.times / T_R
            lines = np.cos(turn + random.uniform(0, 6.3, (119, 1))).sum(axis=0)
            raw._data += residue_uv * 1e-6 * random.standard_normal((9, 1)) * lines / lines.std()
        onset_s = np.delete(START_S + T_R * np.arange(VOLUMES), without)
        onset_s = onset_s[onset_s < seconds]
        return raw.set_annotations(mne.Annotations(onset_s, 0.0, trigger))

    return make


def regions(seed: int = 0, volumes: int = VOLUMES) -> np.ndarray:
    """[volume, region] in arbitrary units."""
    return 100 + np.random.default_rng(seed).standard_normal((volumes, len(REGIONS)))


@pytest.fixture
def archive(tmp_path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def scan(archive, eeg):
    """scan(subject, run, raw, bold, names, t_r) writes one scan of a BIDS-like archive; the paths
    of both halves."""

    def write(subject: str, run: str = "1", raw=None, bold=None, names=REGIONS,
              t_r: float | None = T_R) -> tuple[Path, Path]:
        stem = f"sub-{subject}_ses-1_task-rest_run-{run}"
        folder = archive / f"sub-{subject}" / "ses-1"
        for room in ("eeg", "func"):
            (folder / room).mkdir(parents=True, exist_ok=True)
        ours = folder / "eeg" / f"{stem}_eeg.fif"
        theirs = folder / "func" / f"{stem}_timeseries.tsv"
        seed = int(subject) * 10 + int(run)
        (eeg(seed) if raw is None else raw).save(ours, overwrite=True, verbose="ERROR")
        table = pd.DataFrame(regions(seed) if bold is None else bold, columns=list(names))
        table.to_csv(theirs, sep="\t", index=False, na_rep="n/a")
        if t_r is not None:
            theirs.with_suffix(".json").write_text(json.dumps({"RepetitionTime": t_r}))
        return ours, theirs

    return write


@pytest.fixture
def run(tmp_path, capsys):
    """run(*words) → Outcome of `neurofm pair`; --out is tmp_path/pairs."""

    def do(*words) -> Outcome:
        capsys.readouterr()
        status = pair.main([*map(str, words), "--out", str(tmp_path / "pairs"),
                            "--splits.train", "['1', '2']", "--splits.test", "['3']"])
        return Outcome(status, capsys.readouterr().out, tmp_path / "pairs")

    return do


def failure(outcome: Outcome) -> str:
    """What the end of the run says of the one scan that failed."""
    assert outcome.status == pair.FAILED
    return outcome.text.partition("failed      1:\n")[2]


def test_an_archive_becomes_pairs(archive, scan, run):
    missing = regions(11)
    missing[7] = np.nan
    scan("1", "1", bold=missing)
    scan("1", "2")
    scan("3")
    (archive / "rois.tsv").write_text(CENTERS)
    outcome = run(archive, "--rois", archive / "rois.tsv")
    assert outcome.status == 0, outcome.text
    pairs = Pairs.open(outcome.out)
    assert pairs.subjects(pairs.select("test")).tolist() == ["archive/3"]
    assert len(pairs.select("train")) == 2
    assert pairs.rois.names == REGIONS
    assert np.allclose(pairs.rois.position[:2], [[0, -0.08, 0.02], [0.025, 0.005, 0]])
    assert not pairs.rois.has_position[3]
    assert np.array_equal(pairs.bold(0), missing.T.astype(np.float32), equal_nan=True)
    assert np.allclose(pairs.volume_s(0), START_S + T_R * np.arange(VOLUMES), atol=1e-4)
    # Without the EMG that the file calls EEG.
    assert pairs.layout(0).names == ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7")
    assert pairs.eeg(0).shape == (8, 66 * 200)
    assert np.allclose(pairs.eeg(0).std(axis=1), 1, atol=0.01)
    row = pairs.recordings.iloc[0]
    assert row["source"] == "archive/sub-1/ses-1/eeg/sub-1_ses-1_task-rest_run-1_eeg.fif"
    assert row["bold_source"].endswith("func/sub-1_ses-1_task-rest_run-1_timeseries.tsv")
    assert (row["session"], row["task"], row["run"]) == ("1", "rest", "1")
    assert "gradient artifacts" not in outcome.text


def test_a_mark_in_the_eeg_stays_at_its_volume(archive, eeg, scan, run):
    """What happens at a trigger is found at that volume's time after filters and resampling."""
    raw = eeg(seconds=70)
    at = round((START_S + 20 * T_R) * SFREQ)
    raw._data *= 0.1
    raw._data += 2e-4 * np.exp(-((np.arange(raw.n_times) - at) / 10) ** 2)
    scan("1", raw=raw)
    pairs = Pairs.open(run(archive, "--contract.reference", "none").out)
    peak_s = np.abs(pairs.eeg(0)[2]).argmax() / 200
    assert abs(peak_s - pairs.volume_s(0)[20]) < 0.006


def test_scale_none_keeps_volts_and_windowed_scales_are_refused(archive, scan, run, capsys):
    scan("1")
    assert 1e-6 < Pairs.open(run(archive, "--contract.scale", "none").out).eeg(0).std() < 1e-4
    with pytest.raises(SystemExit):
        run(archive, "--contract.scale", "kind_std")
    assert "scans are kept whole" in capsys.readouterr().err


def test_images_and_an_atlas(archive, scan, run):
    ours, theirs = scan("1")
    grid = np.diag([4.0, 4.0, 4.0, 1.0])
    labels = np.zeros((6, 4, 4), dtype=np.int16)
    labels[:3], labels[3:] = 7, 9
    wave = np.random.default_rng(0).standard_normal((2, VOLUMES))
    image = nibabel.Nifti1Image((100 + wave[labels // 9]).astype(np.float32), grid)
    image.header.set_zooms((4, 4, 4, T_R))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, str(theirs).replace("_timeseries.tsv", "_bold.nii.gz"))
    nibabel.save(nibabel.Nifti1Image(labels, grid), archive / "atlas.nii.gz")
    theirs.with_suffix(".json").unlink()
    words = ("--partner", json.dumps({"/eeg/": "/func/", "_eeg.fif": "_bold.nii.gz"}),
             "--images.atlas", archive / "atlas.nii.gz")
    pairs = Pairs.open(run(ours, *words).out)
    assert pairs.rois.names == ("7", "9")
    assert pairs.rois.has_position.all()
    assert np.allclose(pairs.bold(0), 100 + wave, atol=1e-3)
    assert pairs.t_r(0) == T_R


@pytest.mark.parametrize("made", ["dict", "array", "turned", "table"])
def test_the_layout_of_the_neurobolt_data(archive, eeg, scan, run, made):
    (archive / "EEG").mkdir(parents=True)
    (archive / "fMRI_difumo").mkdir()
    mne.export.export_raw(archive / "EEG/sub01-scan02_eeg.set", eeg(), verbose="ERROR")
    values = regions(volumes=VOLUMES + 1)
    held = {"dict": dict(zip(REGIONS, values.T, strict=True)), "array": values, "turned": values.T,
            "table": pd.DataFrame(values, columns=list(REGIONS))}[made]
    (archive / "fMRI_difumo/sub01-scan02_difumo64_roi.pkl").write_bytes(pickle.dumps(held))
    outcome = run(
        archive, "--partner", json.dumps({"EEG/": "fMRI_difumo/", "_eeg.set": "_difumo64_roi.pkl"}),
        "--files", json.dumps([{"pattern": r"sub0*(?P<subject>\d+)-scan(?P<run>\d+)"}]),
        "--align.triggers", "first")
    assert outcome.status == 0, outcome.text
    pairs = Pairs.open(outcome.out)
    assert pairs.recordings.loc[0, ["subject", "run"]].tolist() == ["1", "02"]
    assert np.allclose(pairs.bold(0), values[:VOLUMES].T)
    assert pairs.t_r(0) == T_R  # nothing but the triggers says it
    assert "the last 1 of 31 volumes have no trigger: dropped" in outcome.text
    assert ("its longer axis was taken for time" in outcome.text) == (made in ("array", "turned"))
    names = REGIONS if made in ("dict", "table") else ("roi001", "roi002", "roi003", "roi004")
    assert pairs.rois.names == names


def test_a_delay_stands_for_triggers(archive, eeg, scan, run):
    scan("1", raw=eeg(trigger="other"))
    outcome = run(archive, "--delay_s", "2.5")
    pairs = Pairs.open(outcome.out)
    assert np.allclose(pairs.volume_s(0), 2.5 + T_R * np.arange(VOLUMES))
    ours, theirs = scan("1", raw=eeg(trigger="other"), t_r=None)
    theirs.with_suffix(".json").unlink()
    assert "give t_r in seconds" in failure(run(archive, "--delay_s", "2.5"))
    shutil.rmtree(outcome.out)
    assert Pairs.open(run(ours, "--delay_s", "-4", "--t_r", "2").out).volume_s(0)[0] == 0
    assert run(ours, "--delay_s", "-4", "--t_r", "2").text.count("before the EEG begins") == 1


def test_triggers_by_a_word_of_their_name(archive, eeg, scan, run):
    scan("1", raw=eeg(trigger="Response/R149"))
    scan("2", raw=eeg(trigger="R1490"))
    outcome = run(archive)
    assert len(Pairs.open(outcome.out)) == 1
    assert "wanted an annotation R149 at each volume, but it has R1490 (30)" in failure(outcome)


def test_eeg_that_ends_early_leaves_out_the_last_volumes(archive, eeg, scan, run):
    scan("1", raw=eeg(seconds=50))  # MNE drops the triggers beyond the end
    reason = failure(run(archive))
    assert "there are 24 triggers and 30 volumes" in reason
    scan("1", raw=eeg(seconds=50), t_r=T_R)
    outcome = run(archive, "--delay_s", "3")
    assert "the last 6 volumes are after the EEG ends (50.0 s): dropped" in outcome.text
    assert Pairs.open(outcome.out).bold(0).shape == (4, 24)


def test_clocks_that_part(archive, eeg, scan, run):
    """The EEG's clock is 0.5 % slow: the times are those of its triggers to the end of the scan."""
    raw = eeg(seconds=70)
    raw.set_annotations(mne.Annotations(START_S + 1.005 * T_R * np.arange(VOLUMES), 0.0, "R149"))
    scan("1", raw=raw)
    outcome = run(archive)
    assert "the EEG's clock measures a repetition time of 2.01 s" in outcome.text
    last_s = START_S + 1.005 * T_R * (VOLUMES - 1)
    assert abs(Pairs.open(outcome.out).volume_s(0)[-1] - last_s) < 0.005


def test_cases_of_triggers_and_volumes_that_differ(archive, eeg, scan, run):
    _, theirs = scan("1", raw=eeg(without=[4]))
    outcome = run(archive)
    assert "1 trigger missing after 9.000 s" in outcome.text
    assert np.allclose(Pairs.open(outcome.out).volume_s(0), START_S + T_R * np.arange(VOLUMES))
    _, theirs = scan("2", bold=regions(volumes=VOLUMES - 2))
    assert "align.triggers first" in failure(run(archive))
    shutil.rmtree(outcome.out)
    found = Pairs.open(run(archive, "--align.triggers", "last").out)
    assert found.volume_s(1)[0] == START_S + 2 * T_R
    shutil.rmtree(outcome.out)
    sidecar = theirs.with_suffix(".json")
    sidecar.write_text(json.dumps(
        json.loads(sidecar.read_text()) | {"NumberOfVolumesDiscardedByScanner": 2}))
    outcome = run(archive)
    assert Pairs.open(outcome.out).volume_s(1)[0] == START_S + 2 * T_R
    assert "its sidecar says NumberOfVolumesDiscardedByScanner 2" in outcome.text


@pytest.mark.parametrize(("without", "bold", "t_r", "wanted"), [
    (range(3), None, T_R, "there are 27 triggers and 30 volumes"),
    ((), regions(volumes=40), T_R, "there are 30 triggers and 40 volumes"),
    ((), None, 2.1, "wanted a trigger every 2.1 s, the repetition time, but they are 2 s apart"),
    ((), None, 2000.0, "it seems to be in milliseconds"),
    ((), None, 4.0, "they are 2 s apart"),
])
def test_scans_that_do_not_fit_are_listed_and_stop_no_other(
    archive, eeg, scan, run, without, bold, t_r, wanted
):
    scan("1", raw=eeg(without=without), bold=bold, t_r=t_r)
    scan("3")
    outcome = run(archive)
    assert len(Pairs.open(outcome.out)) == 1

    assert re.search(wanted, failure(outcome)), failure(outcome)
    assert re.search(wanted, *outcome.failures.values())


def test_a_missing_partner_and_other_regions(archive, scan, run):
    scan("1")
    scan("2", names=("Cuneus", "Putamen", "Thalamus", "Pons"))
    _, theirs = scan("3")
    theirs.unlink()
    shutil.copy(theirs.parent.parent / "eeg" / "sub-3_ses-1_task-rest_run-1_eeg.fif",
                archive / "loose.fif")
    outcome = run(archive)
    assert outcome.status == pair.FAILED
    said = outcome.failures
    assert "func/sub-3_ses-1_task-rest_run-1_timeseries.tsv, but there is no such file" in said[
        "sub-3_ses-1_task-rest_run-1_eeg.fif"]
    assert "got 4: without Global; besides Pons" in said["sub-2_ses-1_task-rest_run-1_eeg.fif"]
    assert "partner names none of the parts of its path" in said["loose.fif"]
    assert "--out for these" in outcome.text
    assert Pairs.open(outcome.out).recordings["subject"].tolist() == ["1"]


class Harmful:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "harm")


def test_pickles_are_never_run(tmp_path, archive, scan, run):
    _, theirs = scan("1")
    harm, partner = tmp_path / "harm", json.dumps({"/eeg/": "/func/", "_eeg.fif": ".pkl"})
    bad = {"dict": {"Cuneus": Harmful(harm)}, "alone": Harmful(harm)}
    for name, held in bad.items():
        theirs.with_name(theirs.name.replace("_timeseries.tsv", ".pkl")).write_bytes(
            pickle.dumps(held))
        reason = failure(run(archive, "--partner", partner))
        assert "pickles are never run here; save it as …_timeseries.tsv" in reason, name
        assert not harm.exists()
    pickle.loads(pickle.dumps(Harmful(harm)))  # the file is really harmful
    assert harm.exists()


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".tsv"])
def test_other_tables(archive, scan, run, suffix):
    _, theirs = scan("1")
    file, values = theirs.with_name(theirs.name.replace("_timeseries.tsv", suffix)), regions()
    if suffix == ".npy":
        np.save(file, values)
    else:
        table = pd.DataFrame(values, columns=list(REGIONS))
        table.to_csv(file, sep="," if suffix == ".csv" else "\t", index=False)
    outcome = run(archive, "--partner", json.dumps({"/eeg/": "/func/", "_eeg.fif": suffix}))
    pairs = Pairs.open(outcome.out)
    assert np.allclose(pairs.bold(0), values.T)
    assert pairs.rois.names == (REGIONS if suffix != ".npy" else
                                tuple(f"roi00{k}" for k in range(1, 5)))


def test_gradient_residue_is_found_where_it_is(archive, eeg, scan, run):
    for subject, residue_uv in (("1", 0.0), ("2", 0.0), ("3", 6.0)):
        scan(subject, raw=eeg(int(subject), residue_uv=residue_uv))
    outcome = run(archive)
    clean, also_clean, bad = Pairs.open(outcome.out).recordings["gradient_residue"]
    assert max(abs(clean), abs(also_clean)) < 0.4 < 1 < bad
    (line,) = [line for line in outcome.text.splitlines() if line.startswith("warning")]
    assert "looks as if gradient artifacts were not taken out" in line
    assert "sub-3_" in line
    assert "sub-1_" not in line
    assert "sub-2_" not in line


def test_an_interrupted_run_continues_and_a_finished_one_does_nothing(
    archive, scan, run, monkeypatch, tmp_path
):
    for subject in ("1", "2", "3"):
        scan(subject)
    real = processes.run

    def stops(*words, **options):
        for number, each in enumerate(real(*words, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield each

    def done() -> dict[str, int]:
        return {json.loads(path.read_text())["row"]["subject"]: path.stat().st_mtime_ns
                for path in (tmp_path / "pairs" / ".pair" / "done").glob("*.json")}

    with monkeypatch.context() as patch:
        patch.setattr(processes, "run", stops)
        first = run(archive, "--workers", "1")
    assert first.status == 130
    assert not (first.out / "manifest.json").exists()
    two = done()
    assert len(two) >= 2
    assert f"{len(two)} unchanged and already in" in run(archive).text
    three = done()
    assert len(three) == 3
    assert two.items() <= three.items()
    manifest = (first.out / "manifest.json").read_bytes()
    again = run(archive)
    assert again.status == 0
    assert "nothing is new: nothing to do" in again.text
    assert (first.out / "manifest.json").read_bytes() == manifest
    whole = Pairs.open(first.out)
    scan("2", bold=regions(99))
    run(archive)
    assert [name for name, at in done().items() if at != three[name]] == ["2"]
    changed = Pairs.open(first.out)
    assert np.array_equal(changed.eeg(1), whole.eeg(1))
    assert np.allclose(changed.bold(1), regions(99).T)
    assert changed.fingerprint != whole.fingerprint


def test_other_settings_need_another_folder(archive, scan, run):
    scan("1")
    run(archive)
    with pytest.raises(ValueError, match=r"delay_s: None there, 1\.0 now"):
        run(archive, "--delay_s", "1")


def test_bad_stretches_travel_with_the_scan(archive, eeg, scan, run):
    raw = eeg()
    raw.annotations.append([20.0], [3.0], ["BAD_movement"])
    scan("1", raw=raw)
    outcome = run(archive)
    assert outcome.status == 0, outcome.text
    assert np.allclose(Pairs.open(outcome.out).bad_s(0), [[20, 23]], atol=1e-3)


def test_what_failed_is_remembered_and_tried_again(archive, eeg, scan, run):
    scan("1")
    scan("2", bold=regions(volumes=40))
    _, theirs = scan("3")
    theirs.unlink()
    first = run(archive)
    assert first.status == pair.FAILED
    assert len(list((first.out / ".pair" / "failed").glob("*.json"))) == 2
    scan("2")
    again = run(archive)
    assert "1 unchanged" in again.text
    assert "2 failed before and are tried again" in again.text
    assert list(again.failures) == ["sub-3_ses-1_task-rest_run-1_eeg.fif"]
    scan("3")
    assert run(archive).status == 0
    assert len(Pairs.open(first.out)) == 3


def test_parts_in_any_order_make_the_same_pairs(archive, scan, run, tmp_path):
    """Also where two scans disagree about the regions: which one stays is no matter of order."""
    for subject in ("1", "2"):
        for number in ("1", "2"):
            scan(subject, number)
    scan("3", names=("Cuneus", "Putamen", "Thalamus", "Pons"))
    whole = run(archive, "--workers", "1")
    before = Pairs.open(whole.out).fingerprint
    for order in ((1, 2, 3), (3, 1, 2)):
        shutil.rmtree(whole.out)
        for number in order:
            outcome = run(archive, "--part", f"{number}/3", "--workers", "2")
            assert outcome.status == 0, outcome.text
            assert "not sealed" in outcome.text
            assert not (whole.out / "manifest.json").exists()
        last = run(archive)
        assert last.status == whole.status == pair.FAILED
        assert "5 unchanged" in last.text
        assert last.failures == whole.failures
        assert Pairs.open(whole.out).fingerprint == before


def test_regions_are_those_of_the_first_scan(archive, scan, run):
    scan("2", names=("Cuneus", "Putamen", "Thalamus", "Pons"))
    assert run(archive).status == 0
    scan("1")
    outcome = run(archive)
    assert outcome.status == pair.FAILED
    assert Pairs.open(outcome.out).recordings["subject"].tolist() == ["1"]
    assert "got 4: without Global; besides Pons" in failure(outcome)


def test_bad_input_parts(archive, scan, run, capsys):
    scan("1")
    for part in ("3/2", "0/2", "half"):
        with pytest.raises(SystemExit):
            run(archive, "--part", part)
        assert "wanted K/N with K from 1 to N" in capsys.readouterr().err
