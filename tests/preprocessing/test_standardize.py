"""What a window is: its band and rate, its sensors, its place in time, its scale."""

import mne
import numpy as np
import pytest

from neurofm.data.contract import InputContract
from neurofm.data.recording import Events
from neurofm.preprocessing import segments, steps
from neurofm.preprocessing.readers import from_raw, read
from neurofm.preprocessing.standardize import ContractError, standardize
from neurofm.preprocessing.steps import bad_channels, interpolate

# What MNE 1.13 calls standard_1005.
TEMPLATE = ("colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages()
            else "standard_1005")

CONTRACT = InputContract(sfreq=100.0, lowpass_hz=40.0, window_s=4.0)


def _with_events(recording, *events):
    onset, duration, label = zip(*events, strict=True)
    return recording.with_(events=Events(np.array(onset, float), np.array(duration, float), label))


def test_windows_cover_the_recording_and_the_tail(make_raw):
    done = standardize(from_raw(make_raw(seconds=30)), CONTRACT)
    assert done.windows.shape == (8, 19, 400)
    assert done.windows.dtype == np.float32
    # The last ends with the recording.
    assert done.start_s.tolist() == [0, 4, 8, 12, 16, 20, 24, 26]
    assert len(standardize(from_raw(make_raw(seconds=28)), CONTRACT)) == 7
    assert np.array_equal(done.onset, np.arange(8))


def test_stride(make_raw):
    done = standardize(from_raw(make_raw(seconds=10)), CONTRACT.with_(stride_s=1.0))
    assert done.start_s.tolist() == [0, 1, 2, 3, 4, 5, 6]
    overlap = CONTRACT.with_(stride_s=1.0, scale="none")
    windows = standardize(from_raw(make_raw(seconds=10)), overlap).windows
    assert np.array_equal(windows[0][:, 100:], windows[1][:, :-100])


def test_reference_and_scale_of_each_kind(data):
    recording = read(data / "meg_readers/sample_audvis_trunc_raw_sss.fif")
    done = standardize(recording, CONTRACT.with_(window_s=0.5))
    assert done.sensors.kinds.count("eeg") == 60
    for window in done.windows:
        for kind in ("eeg", "mag", "planar_grad"):
            part = window[np.array(done.sensors.kinds) == kind]
            assert np.abs(part.mean(0)).max() < 1e-4
            assert part.std() == pytest.approx(1, abs=1e-3)
        # Amplitudes within a kind survive: channels are not scaled one by one.
        assert np.ptp(window.std(1)) > 0.2


def test_channel_std_and_si_units(make_raw):
    recording = from_raw(make_raw())
    each = standardize(recording, CONTRACT.with_(scale="channel_std")).windows
    assert np.allclose(each.std(2), 1, atol=1e-3)
    assert np.allclose(each.mean(2), 0, atol=1e-3)
    volts = standardize(recording, CONTRACT.with_(scale="none")).windows
    assert 1e-6 < volts.std() < 1e-4


def test_an_open_reference_stays(make_raw):
    recording = from_raw(make_raw())
    kept = standardize(recording, CONTRACT.with_(reference="none", scale="none")).windows
    assert np.abs(kept.mean(1)).max() > 1e-6


def test_permuted_channels_give_permuted_windows(make_raw):
    recording = from_raw(make_raw(32))
    order = np.random.default_rng(0).permutation(32)
    straight = standardize(recording, CONTRACT)
    permuted = standardize(recording.pick(order), CONTRACT)
    assert permuted.sensors.names == straight.sensors[order].names
    assert np.allclose(permuted.windows, straight.windows[:, order], atol=2e-5)


def test_the_recording_itself_is_not_changed(make_raw):
    recording = from_raw(make_raw())
    before = recording.signal.copy()
    standardize(recording, CONTRACT.with_(sfreq=recording.sfreq, highpass_hz=None, notch_hz=(),
                                          lowpass_hz=None))
    assert np.array_equal(recording.signal, before)


def test_a_raw_of_mne_can_be_given(make_raw):
    raw = make_raw()
    assert np.array_equal(standardize(raw, CONTRACT).windows,
                          standardize(from_raw(raw), CONTRACT).windows)


class TestOnsets:
    def test_windows_begin_at_onsets(self, make_raw):
        recording = from_raw(make_raw(seconds=30))
        done = standardize(recording, CONTRACT, onsets_s=np.array([3.0, 7.5, 27.0, -1.0, 26.0]))
        assert done.start_s.tolist() == [3.0, 7.5, 26.0]
        assert done.onset.tolist() == [0, 1, 4]
        assert done.quality["windows_left_out"] == {"reach beyond the recording": 2}

    def test_a_trial_that_begins_between_two_samples_of_the_new_rate(self, make_raw):
        """Trials of 261 samples at 200 Hz begin every 334.08 samples of 256 Hz."""
        raw = make_raw(seconds=30, sfreq=200)
        trials = np.stack([raw.get_data(start=261 * k, stop=261 * (k + 1)) for k in range(20)])
        recording = from_raw(mne.EpochsArray(trials, raw.info, verbose="ERROR"))
        onsets_s = 1.305 * np.arange(20)
        done = standardize(recording, CONTRACT.with_(window_s=1.0, sfreq=256.0), onsets_s=onsets_s)
        assert done.onset.tolist() == list(range(20))
        assert ((done.start_s - onsets_s) * 256 < 1).all()
        early = standardize(recording, CONTRACT.with_(window_s=1.0, sfreq=256.0),
                            onsets_s=onsets_s[:2] - [0, 0.005])
        assert early.onset.tolist() == [0]
        assert early.quality["windows_left_out"] == {segments.JOINED: 1}

    def test_signal_is_that_of_the_whole(self, make_raw):
        recording = from_raw(make_raw(seconds=30))
        whole = standardize(recording, CONTRACT.with_(scale="none"))
        cut = standardize(recording, CONTRACT.with_(scale="none"), onsets_s=np.array([8.0]))
        assert np.array_equal(cut.windows[0], whole.windows[2])

    def test_none_that_fits(self, make_raw):
        with pytest.raises(ContractError, match="at least one good window"):
            standardize(from_raw(make_raw(seconds=10)), CONTRACT, onsets_s=np.array([9.0]))


class TestSegments:
    def test_no_window_runs_over_a_cut(self, make_raw):
        recording = _with_events(from_raw(make_raw(seconds=30)), (13.0, 0, "EDGE boundary"))
        assert standardize(recording, CONTRACT).start_s.tolist() == [
            0, 4, 8, 9, 13, 17, 21, 25, 26]

    def test_skipped_acquisition_is_no_signal(self, make_raw):
        recording = _with_events(from_raw(make_raw(seconds=30)), (10.0, 5.0, "BAD_ACQ_SKIP"))
        assert segments.continuous(recording) == [(0, 2000), (3000, 6000)]
        starts = standardize(recording, CONTRACT).start_s
        assert not ((starts > 6) & (starts < 15)).any()

    @pytest.mark.parametrize("label", ["BAD_blink", "bad segment"])
    def test_windows_in_a_bad_stretch_are_left_out_and_counted(self, make_raw, label):
        recording = _with_events(from_raw(make_raw(seconds=30)), (9.0, 1.0, label))
        done = standardize(recording, CONTRACT)
        assert 8 not in done.start_s
        assert len(done) == 7
        assert done.quality["windows_left_out"] == {"in a stretch marked bad": 1}
        assert done.onset.tolist() == list(range(7))

    def test_an_ordinary_event_cuts_nothing(self, make_raw):
        recording = _with_events(from_raw(make_raw(seconds=30)), (9.0, 1.0, "Badminton?"),
                                 (11.0, 0.0, "boundary element"))
        recording = _with_events(recording, (11.0, 0.0, "boundary element"), (5.0, 0.0, "New"))
        assert segments.continuous(recording) == [(0, 6000)]
        assert len(standardize(recording, CONTRACT)) == 8

    def test_epochs_are_windows(self, make_raw):
        epochs = mne.make_fixed_length_epochs(make_raw(seconds=40), duration=5.0, preload=True,
                                              verbose="ERROR")
        done = standardize(epochs, CONTRACT.with_(window_s=5.0))
        assert done.start_s.tolist() == [0, 5, 10, 15, 20, 25, 30, 35]


class TestChannels:
    def test_flat_nan_and_absurd_channels_are_interpolated(self, make_raw):
        recording = from_raw(make_raw(32, seconds=30))
        signal = recording.signal.copy()
        signal[3], signal[7], signal[11, 100:300] = 5e-6, 400 * signal[7], np.nan
        done = standardize(recording.with_(signal=signal), CONTRACT)
        names = recording.sensors.names
        assert set(done.quality["bads"]) == {names[3], names[7], names[11]}
        assert "flat" in done.quality["bads"][names[3]]
        assert "absurdly large" in done.quality["bads"][names[7]]
        assert "NaN" in done.quality["bads"][names[11]]
        assert set(done.quality["interpolated"]) == set(done.quality["bads"])
        assert done.sensors.names == names
        assert np.isfinite(done.windows).all()

    def test_an_odd_spectrum_is_bad_and_usual_ones_are_not(self, make_raw):
        recording = from_raw(make_raw(32, seconds=30))
        signal = recording.signal.copy()
        time = np.arange(signal.shape[1]) / recording.sfreq
        signal[5] = 30e-6 * np.sin(2 * np.pi * 12 * time)
        done = standardize(recording.with_(signal=signal), CONTRACT)
        assert list(done.quality["bads"]) == [recording.sensors.names[5]]
        assert "spectrum" in done.quality["bads"][recording.sensors.names[5]]
        assert standardize(recording, CONTRACT).quality["bads"] == {}

    def test_marks_of_the_file_count_and_spectra_need_not(self, make_raw):
        recording = from_raw(make_raw(19)).with_(bads=("Cz",))
        done = standardize(recording, CONTRACT.with_(bad_channels="none"))
        assert done.quality["bads"] == {"Cz": "marked in the file"}
        assert done.quality["interpolated"] == ["Cz"]

    def test_interpolation_is_that_of_mne(self, make_raw):
        raw = make_raw(32).set_montage(TEMPLATE, verbose="ERROR")
        recording = from_raw(raw)
        good, bad = np.arange(2, 32), np.arange(2)
        weights = interpolate.spline_weights(recording.sensors.position[good],
                                             recording.sensors.position[bad])
        raw.info["bads"] = ["Fp1", "Fp2"]
        raw.interpolate_bads(origin=(0.0, 0.0, 0.04), reset_bads=False, verbose="ERROR")
        made = weights @ recording.signal[good]
        assert np.allclose(made, raw.get_data(["Fp1", "Fp2"]), atol=1e-8)

    def test_an_interpolated_channel_resembles_the_lost_one(self, data):
        recording = read(data / "eegmmidb/S001R01.edf")
        contract = CONTRACT.with_(reference="none", scale="none")
        whole = standardize(recording, contract)
        row = recording.sensors.names.index("C3")
        signal = recording.signal.copy()
        signal[row] = 0
        mended = standardize(recording.with_(signal=signal), contract)
        assert mended.quality["interpolated"] == ["C3"]
        assert np.corrcoef(whole.windows[:, row].ravel(), mended.windows[:, row].ravel())[0, 1] > .9

    def test_bad_meg_channels_are_left_out(self, data):
        recording = read(data / "meg_readers/010409_Motor_task_coregist-export_tiny_1s.con")
        done = standardize(recording, CONTRACT.with_(window_s=0.9))
        assert len(done.sensors) == 150
        assert len(done.quality["left_out"]) == 1
        assert done.quality["interpolated"] == []

    def test_a_few_sensors_without_place_are_dropped_and_listed(self, data):
        recording = read(data / "meg_readers/exported4D_solaris_raw.fif")
        done = standardize(recording, CONTRACT.with_(window_s=0.9))
        assert done.quality["without_position"] == ["EEG 001", "EEG 002", "EEG 003"]
        assert len(done.sensors) == 248

    def test_kinds_of_the_contract(self, data):
        recording = read(data / "meg_readers/sample_audvis_trunc_raw_sss.fif")
        done = standardize(recording, CONTRACT.with_(window_s=0.9, kinds=("mag",)))
        assert set(done.sensors.kinds) == {"mag"}
        assert len(done.sensors) == 102

    def test_spectra_of_meg_are_finite(self, data):
        recording = read(data / "meg_readers/testdata_ctf_short_discontinuous.ds_raw.fif")
        _, power, peak = bad_channels.power_spectrum(recording)
        alive = np.ptp(recording.signal, axis=1) > 0
        assert np.isfinite(power).all()
        assert (power[alive].sum(1) > 0).all()
        assert (peak > 0).all()


class TestQuality:
    def test_what_the_recorder_filtered_away_is_told(self, data):
        recording = read(data / "eegmat/sub-00/eeg/sub-00_task-rest_eeg.edf")
        with pytest.raises(ContractError, match=r"ends at 45 Hz \(removed by filters"):
            standardize(recording, InputContract())
        done = standardize(recording, InputContract(), lacking="accept")
        assert done.quality["band_missing_hz"] == [[0.1, 0.5], [45.0, 96.0]]
        assert done.quality["sfreq_original"] == 500.0

    def test_line_noise_before_the_notch(self, make_raw):
        raw = make_raw(19, 30)
        time = raw.times
        raw._data += 30e-6 * np.sin(2 * np.pi * 50 * time) * np.linspace(0.5, 1.5, 19)[:, None]
        done = standardize(raw, InputContract(lowpass_hz=90.0, window_s=4.0))
        assert done.quality["line_noise"]["50"] > 100
        assert done.quality["line_noise"]["60"] < 10
        open_band = standardize(raw, done.contract.with_(notch_hz=(), scale="none"))
        without = standardize(raw, done.contract.with_(scale="none"))
        at_50 = [np.abs(np.fft.rfft(each.windows, axis=2))[2:-2, :, 200].mean()
                 for each in (without, open_band)]
        assert at_50[0] < 0.1 * at_50[1]

    def test_a_drop_out_is_as_if_not_recorded(self, make_raw):
        recording = from_raw(make_raw(19, 30))
        for value in (np.nan, 0.0):  # no samples, or the link holds its last value
            signal = recording.signal.copy()
            signal[:, 2000:2500] = value
            done = standardize(recording.with_(signal=signal), CONTRACT)
            assert done.start_s == pytest.approx([0, 4, 6, 12.5, 16.5, 20.5, 24.5, 26], abs=0.02)
            assert np.isfinite(done.windows).all()
            assert done.quality["bads"] == {}
            assert done.quality["lost_s"] == pytest.approx(2.5, abs=0.02)
        # Beyond the gap the signal is what it was: nothing has spread.
        whole = standardize(recording, CONTRACT)
        assert np.allclose(done.windows[-1], whole.windows[-1], atol=0.1)

    def test_an_amplifier_switched_off_for_most_of_the_time(self, make_raw):
        recording = from_raw(make_raw(19, 40))
        signal = recording.signal.copy()
        signal[:, 1500:] = 1e-5
        done = standardize(recording.with_(signal=signal), CONTRACT)
        assert done.start_s == pytest.approx([0, 3.5])
        assert done.quality["bads"] == {}

    def test_zeros_that_fill_the_last_block_of_a_file_are_no_signal(self, data):
        path = data / "eegmat/sub-00/eeg/sub-00_task-arithmetic_eeg.edf"
        done = standardize(read(path), InputContract(), lacking="accept")
        assert 1.9 < done.quality["lost_s"] < 2
        assert done.start_s[-1] + 10 + done.quality["lost_s"] == pytest.approx(62, abs=0.01)

    def test_every_step_is_described_in_the_order(self):
        for step in steps.ORDER:
            assert f"    {step.name} " in steps.__doc__


def _refused(recording, contract, match):
    with pytest.raises(ContractError, match=match) as caught:
        standardize(recording.with_(source="folder/that.edf"), contract)
    message = str(caught.value)
    assert message.startswith("folder/that.edf: wanted ")
    assert "that.edf" not in caught.value.reason
    return message


class TestBadInput:
    """Recordings that cannot meet the contract: file, wanted, came, what to do."""

    def test_bad_input_too_short(self, make_raw):
        message = _refused(from_raw(make_raw(seconds=3)), CONTRACT, "lasts 3 s")
        assert "wanted 4 s for one window" in message
        assert "shorter contract.window_s" in message

    def test_bad_input_wrong_sensors(self, make_raw):
        _refused(from_raw(make_raw()), CONTRACT.with_(kinds=("mag",)), "19 eeg")

    def test_bad_input_sampling_rate_below_the_band(self, make_raw):
        message = _refused(from_raw(make_raw(sfreq=128)), InputContract(), "ends at 64 Hz")
        assert "the band up to 96 Hz" in message
        assert "192 Hz or more" in message

    @pytest.mark.parametrize(
        ("factor", "match"),
        [(1e6, "1e6 times too large"), (1e3, "1e3 times too large"), (1e-6, "1e6 times too small"),
         (1e-3, "1e3 times too small")],
    )
    def test_bad_input_unit(self, make_raw, factor, match):
        recording = from_raw(make_raw())
        _refused(recording.with_(signal=recording.signal * np.float32(factor)), CONTRACT, match)

    @pytest.mark.parametrize("factor", [1e15, 1e12])
    def test_bad_input_unit_of_meg(self, data, factor):
        recording = read(data / "meg_readers/Example_RICOH160-1_10021-export_anonymyze.con")
        _refused(recording.with_(signal=recording.signal * np.float32(factor)),
                 CONTRACT.with_(window_s=0.9), "times too large")

    def test_bad_input_flat(self, make_raw):
        recording = from_raw(make_raw())
        _refused(recording.with_(signal=0 * recording.signal), CONTRACT, "flat")

    def test_bad_input_all_nan(self, make_raw):
        recording = from_raw(make_raw())
        _refused(recording.with_(signal=np.nan * recording.signal), CONTRACT, "NaN or infinite")

    def test_bad_input_too_many_bad_channels(self, make_raw):
        recording = from_raw(make_raw())
        signal = recording.signal.copy()
        signal[:7] = 0
        _refused(recording.with_(signal=signal), CONTRACT, "7 of 19")

    def test_bad_input_no_positions(self, make_raw):
        raw = make_raw()
        raw.rename_channels({name: f"ch{i}" for i, name in enumerate(raw.ch_names)})
        message = _refused(from_raw(raw), CONTRACT, "19 of 19 have none")
        assert "ch0, ch1" in message
        assert "montage" in message

    def test_bad_input_nan_positions_of_unknown_names(self, make_raw):
        raw = make_raw().set_montage(TEMPLATE, verbose="ERROR")
        raw.rename_channels({name: f"ch{i}" for i, name in enumerate(raw.ch_names)})
        standardize(raw, CONTRACT)  # places of the file need no names
        for ch in raw.info["chs"]:
            ch["loc"][:3] = np.nan
        _refused(from_raw(raw), CONTRACT, "have none")

    def test_bad_input_meg_without_head(self, data):
        recording = read(data / "meg_readers/141027_cropped_90Hz_raw.fif")
        message = _refused(recording, CONTRACT, "306 of 306")
        assert "unknown_head" in message

    def test_bad_input_everything_marked_bad(self, make_raw):
        recording = _with_events(from_raw(make_raw(seconds=10)), (0.0, 10.0, "BAD"))
        _refused(recording, CONTRACT, "in a stretch marked bad")


def test_a_joint_between_two_samples_is_in_no_window(make_raw):
    """EEGLAB sets boundaries half a sample before what follows; at a higher rate that is a sample
    earlier, which still belongs to what was before."""
    recording = from_raw(make_raw(5, 40, sfreq=100.0))
    signal = recording.signal.copy()
    signal[:, 2000:] += 0.01
    recording = _with_events(recording.with_(signal=signal), (19.995, 0.0, "boundary"))
    contract = InputContract(lowpass_hz=40.0, window_s=4.0, scale="none", reference="none")
    done = standardize(recording, contract)
    assert 20.0 in done.start_s
    assert not ((done.start_s > 16.0) & (done.start_s < 20.0)).any()


def test_the_mains_of_the_file_are_said_where_no_notch_takes_them(make_raw):
    raw = make_raw()
    raw.info["line_freq"] = 60.0
    contract = CONTRACT.with_(lowpass_hz=None, notch_hz=(50.0,))
    assert standardize(raw, contract).quality["line_left_hz"] == 60.0
    assert standardize(raw, contract.with_(notch_hz=(60.0,))).quality["line_left_hz"] is None
