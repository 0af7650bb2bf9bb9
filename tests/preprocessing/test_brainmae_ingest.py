"""fMRI comes in: tables of regions with their repetition time, filters that see no scrubbed volume,
and a model that is pretrained on scanners of unlike repetition times by commands alone."""

import gzip
import json
import shutil

import numpy as np
import pytest
from scipy.io import savemat

import neurofm
from neurofm import checkpoints, cli
from neurofm.data.corpus import Corpus
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.recording import Events, Recording
from neurofm.data.sensors import Sensors
from neurofm.preprocessing import readers
from neurofm.preprocessing.readers import ArrayTable, ReadError
from neurofm.preprocessing.standardize import ContractError, standardize

PLACES = np.random.default_rng(0).uniform(-60, 60, (9, 3)).round(1)
PLAIN = FMRIContract(detrend=False, highpass_hz=None, lowpass_hz=None, scale="none")


def regions(n: int = 9) -> Sensors:
    return Sensors(tuple(f"R{i}" for i in range(n)), np.full(n, 4), PLACES[:n] / 1000,
                   np.zeros((n, 3)))


def scan(t_r: float = 2.0, n: int = 120, seed: int = 0, events: Events | None = None) -> Recording:
    """Slow waves of three networks, a drift, and fast noise."""
    rng = np.random.default_rng(seed)
    time = (np.arange(n) + 0.5) * t_r
    mixing = np.random.default_rng(1).standard_normal((9, 3))
    waves = np.sin(2 * np.pi * rng.uniform(0.02, 0.06, (3, 1)) * time + rng.uniform(0, 6, (3, 1)))
    signal = 1000 + 20 * mixing @ waves + 0.5 * time + 3 * rng.standard_normal((9, n))
    return Recording(signal.astype(np.float32), 1 / t_r, regions(), events or Events.none(),
                     source="scan")


def test_what_a_scan_becomes():
    recording = scan(n=200)
    done = standardize(recording, FMRIContract())
    (window,) = done
    assert window.shape == (9, 200)
    assert done.sfreq == recording.sfreq
    assert np.allclose(window.mean(axis=1), 0, atol=1e-4)
    assert np.allclose(window.std(axis=1), 1, atol=1e-3)
    power = np.abs(np.fft.rfft(window)) ** 2
    hz = np.fft.rfftfreq(200, 2.0)
    assert power[:, hz > 0.15].sum() < 0.01 * power.sum()
    kept = standardize(recording, PLAIN)
    assert np.array_equal(next(iter(kept)), recording.signal)


def test_scrubbed_volumes_stay_in_place_and_nothing_of_them_is_seen():
    torn = scan(n=200)
    bad = Events(np.array([100.0]), np.array([8.0]), ("BAD_scrubbed",))  # volumes 50 … 53
    signal = torn.signal.copy()
    signal[:, 50:54] = 1e6
    signal[3, 120] = np.nan  # one more, missing in the file
    done = standardize(torn.with_(signal=signal, events=bad), FMRIContract())
    (window,) = done
    gone = np.isnan(window).all(axis=0)
    assert np.flatnonzero(gone).tolist() == [50, 51, 52, 53, 120]
    assert np.isnan(window).any(axis=0).sum() == 5
    other = signal.copy()
    other[:, 50:54] = -7.0
    again = next(iter(standardize(torn.with_(signal=other, events=bad), FMRIContract())))
    assert np.allclose(window, again, equal_nan=True, atol=1e-5)
    assert np.corrcoef(window[:, ~gone].ravel(),
                       next(iter(standardize(torn, FMRIContract())))[:, ~gone].ravel())[0, 1] > .97
    assert done.quality["scrubbed"] == 5


def test_windows_of_fixed_seconds_and_those_with_too_little_are_left_out():
    bad = Events(np.array([60.0]), np.array([50.0]), ("BAD_scrubbed",))
    done = standardize(scan(n=130, events=bad), FMRIContract(window_s=60.0))
    assert done.start.tolist() == [0, 60, 90, 100]  # 30 … 60 is scrubbed
    assert done.length == 30
    assert done.quality["windows_left_out"] == {"with less than 50% of the volumes measured": 1}
    at = standardize(scan(n=130), FMRIContract(window_s=40.0), onsets_s=np.array([10.0, 250.0]))
    assert at.start.tolist() == [5]
    assert at.onset.tolist() == [0]


def test_a_flat_region_is_left_out_and_named():
    recording = scan()
    signal = recording.signal.copy()
    signal[4] = 17.0
    done = standardize(recording.with_(signal=signal), FMRIContract())
    assert done.quality["bads"] == {"R4": "flat"}
    assert len(done.sensors) == 8


@pytest.mark.parametrize(("fields", "contract", "message"), [
    ({"sfreq": 1 / 2000}, {}, "milliseconds"), ({"sfreq": 0.2}, {}, "nothing above 0.1 Hz"),
    ({}, {"window_s": 900.0}, "longer scan"), ({}, {"window_s": 2.0}, "of two at least"),
])
def test_bad_input_scan(fields, contract, message):
    with pytest.raises(ContractError, match=message):
        standardize(scan().with_(**fields), FMRIContract(**contract))


def test_bad_input_eeg_and_contract():
    eeg = scan().with_(sensors=Sensors(regions().names, np.zeros(9), PLACES / 1000,
                                       np.zeros((9, 3))))
    with pytest.raises(ContractError, match="this is eeg"):
        standardize(eeg, FMRIContract())
    for fields, message in (({"highpass_hz": 0.2}, "below"),
                            ({"min_measured": 0.0}, r"in \(0, 1\]"),
                            ({"stride_s": 9.0}, "at most"), ({"window_s": -1.0}, "above 0")):
        with pytest.raises(ValueError, match=message):
            FMRIContract(**fields)


def test_contract_comes_back_and_says_what_differs(tmp_path):
    contract = FMRIContract(window_s=60.0)
    contract.save(tmp_path)
    assert FMRIContract.load(tmp_path) == contract
    assert contract.differences(FMRIContract()) == []  # length of windows does not count
    assert contract.differences(FMRIContract(detrend=False)) == ["detrend: True, False"]
    text = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**text, "low_pass_hz": 1}))
    with pytest.raises(ValueError, match="lowpass_hz"):
        FMRIContract.load(tmp_path)


# ------------------------------------------------------------------ readers


def table_of(folder, **fields) -> ArrayTable:
    """Centers of the regions in a file, in millimeters and another order."""
    path = folder / "centers.tsv"
    rows = [f"R{i}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(PLACES)]
    path.write_text("\n".join(["roi\tx\ty\tz", *rows[::-1]]) + "\n")
    return ArrayTable(**{"kind": "roi", "unit": "1", "t_r": "2.0", "channels": str(path),
                         "channels_unit": "mm", **fields})


def test_tables_of_every_kind_hold_the_same(tmp_path):
    signal, names = scan(n=30).signal, [f"R{i}" for i in range(9)]
    rows = [[f"{value:.6f}" for value in volume] for volume in signal.T]
    text = lambda head, sep: "\n".join(sep.join(row) for row in [head, *rows]) + "\n"  # noqa: E731
    with gzip.open(tmp_path / "a.1D.gz", "wt") as file:
        file.write(text([f"#{name}" for name in names], "\t"))
    (tmp_path / "b.1D").write_text(text(names, " "))
    (tmp_path / "c_timeseries.tsv").write_text(text(names, "\t"))
    (tmp_path / "d.csv").write_text(text(names, ","))
    np.save(tmp_path / "e.npy", signal.T)
    savemat(tmp_path / "f.mat", {"tc": signal})
    for path in sorted(tmp_path.glob("?[._]*")):
        if path.name == "centers.tsv":
            continue
        unnamed = {"names": tuple(names)} if path.suffix in (".npy", ".mat") else {}
        axes = {"axes": "channel,time"} if path.suffix == ".mat" else {}
        arrays = table_of(tmp_path, **unnamed, **axes).of({}, path)
        read = readers.read(path, arrays=arrays)
        assert np.allclose(read.signal, signal, rtol=1e-5), path
        assert read.sensors.names == tuple(names)
        assert np.allclose(read.sensors.position, PLACES / 1000, atol=1e-6)
        assert set(read.sensors.kinds) == {"roi"}
        assert read.sfreq == 0.5


def test_the_repetition_time_is_said_and_never_guessed(tmp_path):
    path = tmp_path / "sub-1_timeseries.tsv"
    table = table_of(tmp_path, t_r="RepetitionTime")
    with pytest.raises(ReadError, match=r"neither the tables nor sub-1_timeseries\.json"):
        table.of({}, path)
    (tmp_path / "sub-1_timeseries.json").write_text('{"RepetitionTime": 1.5}')
    assert table.of({}, path).sfreq == pytest.approx(1 / 1.5)
    assert table_of(tmp_path, t_r="tr").of({"tr": "3"}, path).sfreq == pytest.approx(1 / 3)
    with pytest.raises(ReadError, match="milliseconds"):
        table_of(tmp_path, t_r="tr").of({"tr": "2000"}, path)
    with pytest.raises(ValueError, match="give one of them"):
        table_of(tmp_path, sfreq=0.5)


def test_bad_input_regions_that_the_table_lacks(tmp_path):
    (tmp_path / "x.1D").write_text("R1 R77\n" + "1 2\n" * 20)
    with pytest.raises(ReadError, match="R77"):
        readers.read(tmp_path / "x.1D", arrays=table_of(tmp_path).of({}, "x.1D"))


def test_centers_of_an_atlas_image(tmp_path):
    import nibabel

    labels = np.zeros((10, 10, 10), dtype=np.int16)
    labels[2:4, 5, 5], labels[7, 1, 1] = 12, 5
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -10
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "atlas.nii.gz")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 2)))
    arrays = ArrayTable(sfreq=0.5, kind="roi", unit="1", channels=str(tmp_path / "atlas.nii.gz"))
    read = readers.read(tmp_path / "x.npy", arrays=arrays)
    assert read.sensors.names == ("5", "12")
    assert np.allclose(read.sensors.position, [[0.004, -0.008, -0.008], [-0.005, 0, 0]], atol=1e-6)


# ------------------------------------------------------------------ commands


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Tables of eight people by two scanners, and who they are."""
    folder = tmp_path_factory.mktemp("scans")
    rows = ["file\tt_r\tdiagnosis\tsite"]
    for person in range(8):
        t_r = (2.0, 3.0)[person % 2]
        signal = scan(t_r, round(240 / t_r), seed=person).signal
        text = "\n".join("\t".join(f"{v:.4f}" for v in row) for row in signal.T)
        with gzip.open(folder / f"p{person}_rois.1D.gz", "wt") as file:
            file.write("\t".join(f"#R{i}" for i in range(9)) + "\n" + text + "\n")
        rows.append(f"p{person}_rois.1D.gz\t{t_r}\t{'ab'[person // 4]}\tS{person % 2}")
    (folder / "people.tsv").write_text("\n".join(rows) + "\n")
    table_of(folder)
    return folder


@pytest.fixture(scope="module")
def corpus(archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("fmri") / "corpus"
    words = ["ingest", str(archive), f"--out={out}", "--modality=fmri", "--fmri.window_s=120",
             f"--table={archive / 'people.tsv'}", "--arrays.t_r=t_r", "--arrays.kind=roi",
             "--arrays.unit=1", f"--arrays.channels={archive / 'centers.tsv'}",
             "--arrays.channels_unit=mm", r'--files=[{"pattern": "(?P<subject>p\\d)_rois"}]',
             "--label.source=participant", "--label.name=diagnosis",
             "--splits.fractions=[0.5,0.25,0.25]", "--workers=1"]
    assert cli.main(words) == 0
    assert cli.main(words) == 0  # again: nothing to do
    return Corpus.open(out)


def test_a_corpus_of_two_scanners(corpus):
    assert isinstance(corpus.contract, FMRIContract)
    assert len(corpus) == 16
    assert sorted(set(corpus.t_r(np.arange(16)).round(6).tolist())) == [2.0, 3.0]
    batch = corpus.batch(np.arange(16))
    assert batch.signal.shape == (16, 9, 60)
    assert batch.measured.sum(dim=1).tolist() == [round(120 / t) for t in batch.t_r.tolist()]
    assert corpus.windows["label"].value_counts().to_dict() == {"a": 8, "b": 8}
    page = (corpus.folder / "quality.html").read_text()
    assert "own repetition time" in page


def test_pretraining_by_the_command(corpus, tmp_path, capsys):
    out = tmp_path / "model"
    words = ["pretrain", "--model=brainmae", f"--data={corpus.folder}", f"--out={out}",
             "--architecture={dim: 16, n_heads: 2, n_static: 1, n_adaptive: 1, n_blocks: 1}",
             "--train.steps=3", "--train.batch_windows=4", "--watch=validation"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "r2_hidden" in said
    assert "3  val" in said
    model = checkpoints.load(out)
    assert model.contract == corpus.contract
    assert "fmri" in (out / "README.md").read_text()
    assert model.embed(corpus.batch(np.arange(2))).shape[:2] == (2, 9)
    assert "batch = model.example()" in (out / "README.md").read_text()
    assert neurofm.embed(scan(n=120), model).shape[:2] == (2, 9)  # as the card says


def test_bad_input_a_model_of_eeg_for_scans(corpus, tmp_path, capsys):
    assert cli.main(["pretrain", "--model=brain_tokenizer", f"--data={corpus.folder}",
                     f"--out={tmp_path / 'm'}", "--train.steps=1"]) == 1
    assert "holds fmri" in capsys.readouterr().err


def test_centers_that_changed_at_their_path_are_noticed(archive, tmp_path, capsys):
    shutil.copy(archive / "centers.tsv", tmp_path / "centers.tsv")
    words = ["ingest", str(archive / "p0_rois.1D.gz"), f"--out={tmp_path / 'out'}",
             "--modality=fmri", "--workers=1", "--arrays.t_r=2.0", "--arrays.kind=roi",
             "--arrays.unit=1", "--arrays.channels_unit=mm", "--splits.fractions=[1,0,0]",
             f"--arrays.channels={tmp_path / 'centers.tsv'}"]
    assert cli.main(words) == 0
    assert cli.main(words) == 0
    assert "nothing to do" in capsys.readouterr().out
    text = (tmp_path / "centers.tsv").read_text()
    (tmp_path / "centers.tsv").write_text(text.replace("R0\t", "R0\t1"))
    assert text != (tmp_path / "centers.tsv").read_text()
    assert cli.main(words) == 1
    assert "made with other settings (hashes." in capsys.readouterr().err


def test_regions_are_scaled_by_training_people_alone(archive, tmp_path):
    out = tmp_path / "corpus"
    words = ["ingest", str(archive), f"--out={out}", "--modality=fmri", "--workers=1",
             "--fmri.scale=training_iqr", f"--table={archive / 'people.tsv'}", "--arrays.t_r=t_r",
             "--arrays.kind=roi", "--arrays.unit=1", "--arrays.channels_unit=mm",
             f"--arrays.channels={archive / 'centers.tsv'}",
             r'--files=[{"pattern": "(?P<subject>p\\d)_rois"}]',
             "--splits.fractions=[0.5,0.25,0.25]"]
    assert cli.main(words) == 0
    corpus = Corpus.open(out)
    statistics = corpus.contract.statistics
    assert set(statistics) == {f"R{i}" for i in range(9)}

    def read(w: int) -> Recording:
        t_r = str(1 / corpus.recordings["sfreq_original"][w])
        return readers.read(archive / f"{corpus.recordings['subject'][w]}_rois.1D.gz",
                            arrays=table_of(archive, t_r=t_r).of({}, "x"))

    raw = {w: standardize(read(w), FMRIContract(scale="none")).signal for w in range(8)}
    spread = [np.subtract(*np.quantile(raw[w][3], (0.75, 0.25))) for w in corpus.select("train")]
    assert statistics["R3"][1] == pytest.approx(np.median(spread), rel=1e-4)
    for w in range(8):  # everybody by the same numbers
        wanted = (raw[w][3] - statistics["R3"][0]) / statistics["R3"][1]
        assert np.allclose(corpus.signal(w)[3], wanted, atol=1e-4)
    # A new scan by the contract that travels with a checkpoint.
    one = read(0)
    assert np.allclose(next(iter(standardize(one, corpus.contract))), corpus.signal(0), atol=1e-4)
    corpus.contract.save(tmp_path)
    assert corpus.contract.differences(FMRIContract.load(tmp_path)) == []
    other = one.with_(sensors=Sensors.from_dict({**one.sensors.to_dict(), "names": [
        f"Q{i}" for i in range(9)]}))
    with pytest.raises(ContractError, match="there are none for Q0"):
        standardize(other, corpus.contract)
    with pytest.raises(ValueError, match="ingest first"):
        next(iter(standardize(one, FMRIContract(scale="training_iqr"))))
