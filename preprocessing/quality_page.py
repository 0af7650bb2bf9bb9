"""quality.html of a corpus: one page by which a person decides whether to trust it.

From top to bottom: what failed, what was done to every signal, who is in which split, spectra of a
sample of windows, a row a recording with what to look at. One file without scripts, so that it can
be mailed.
"""

import html
from pathlib import Path

import numpy as np
from scipy.fft import rfft

from neurofm.data import shards
from neurofm.data.contract import Contract, InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.windows import SPLITS
from neurofm.seen import subject_keys

from . import quality
from .report import describe

_SAMPLED_RECORDINGS, _SAMPLED_WINDOWS = 24, 8
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 460, 200, 40, 30
_DECADES = 6  # of power that a plot shows below its maximum
_COLUMNS = ("recording", "subject", "session", "task", "run", "split", "channels", "seconds",
            "windows", "Hz", "amplitude", "line noise", "remarks")


def write(out: Path, tables, failures: dict[str, dict], contract: Contract) -> None:
    """Write `out`/quality.html; the shards of `tables` lie in `out`/windows."""
    found = [quality.from_text(text) for text in tables.recordings["quality"]]
    parts = [
        f"<h1>{html.escape(out.resolve().name)}: {len(tables.recordings)} recordings, "
        f"{tables.recordings['duration_s'].sum() / 3600:.2f} h</h1>",
        _failures(failures), _contract(contract), _splits(tables), _layouts(tables),
        "" if contract.modality == "fmri" else _spectra(out, tables, contract),
        _recordings(tables, found),
    ]
    (out / "quality.html").write_text(_HEAD + "\n".join(parts), encoding="utf-8")


def _failures(failures: dict[str, dict]) -> str:
    if not failures:
        return "<p>None failed.</p>"
    rows = [(record["source"], record["reason"]) for record in failures.values()]
    return f"<h2>{len(failures)} failed</h2>" + _table(("recording", "reason"), rows)


def _fmri_contract(contract: FMRIContract) -> str:
    low, high = contract.highpass_hz, contract.lowpass_hz
    rows = [
        ("trend", "a straight line taken out" if contract.detrend else "kept"),
        ("band", f"{'open' if low is None else f'{low:g}'} – "
                 f"{'open' if high is None else f'{high:g}'} Hz, zero phase"),
        ("rate", "the scan's own repetition time"),
        ("scale", {"roi_std": "each region z-scored over its scan",
                   "training_iqr": "each region by its median and interquartile range in training "
                                   "people",
                   "none": "as in the file"}[contract.scale]),
        ("confounds", ", ".join(contract.confounds) or "none taken out"),
        ("window", "the whole scan" if contract.window_s is None else
         f"{contract.window_s:g} s, one each {contract.stride_s or contract.window_s:g} s"),
        ("scrubbed or missing volumes", f"stay in their places as NaN; windows with less than "
                                        f"{contract.min_measured:.0%} measured are left out"),
    ]
    return "<h2>What every window is</h2>" + _table((), rows)


def _contract(contract: Contract) -> str:
    if contract.modality == "fmri":
        return _fmri_contract(contract)
    low, high = contract.highpass_hz, contract.lowpass_hz
    lines = " and ".join(f"{line:g}" for line in contract.notch_hz)
    scale = {"kind_std": "each window over the standard deviation of its kind of sensor",
             "channel_std": "each channel of a window z-scored",
             "recording_std": "each channel z-scored over its recording", "none": "SI units"}
    rows = [
        ("band", f"{'open' if low is None else f'{low:g}'} – "
                 f"{'open' if high is None else f'{high:g}'} Hz, zero phase"),
        ("notch", f"{lines} Hz and harmonics" if lines else "none"),
        ("rate", f"{contract.sfreq:g} Hz"), ("reference", contract.reference),
        ("bad EEG channels", f"by spectrum, beyond {contract.bad_channels_iqr:g} interquartile "
         f"ranges, interpolated" if contract.bad_channels == "log_psd" else "as marked in files"),
        ("sensors without a place", {"required": "left out", "optional": "kept, their place "
                                     "unknown: networks refuse them"}[contract.positions]),
        *([("parcels", f"{len(contract.parcels.points)}, {contract.parcels.method}, "
                       f"{contract.parcels.head} head"
                       + (", orthogonalized" if contract.parcels.orthogonalize else ""))]
          if contract.parcels else []),
        ("scale", scale[contract.scale]),
        ("window", f"{contract.window_s:g} s, one each "
                   f"{contract.stride_s or contract.window_s:g} s"),
    ]
    return "<h2>What every window is</h2>" + _table((), rows)


def _splits(tables) -> str:
    """Subjects, recordings and windows of each split, and the windows of each label."""
    recordings, windows = tables.recordings, tables.windows
    subjects = subject_keys(recordings)
    split = recordings["split"].to_numpy()[windows["recording"]]
    labels = sorted(set(windows["label"].dropna()))
    rows = []
    for name in SPLITS:
        chosen = recordings["split"] == name
        here = windows["label"][split == name]
        rows.append((name, subjects[chosen].nunique(), int(chosen.sum()), len(here),
                     *(int((here == label).sum()) for label in labels)))
    return "<h2>Splits</h2>" + _table(("split", "subjects", "recordings", "windows", *labels), rows)


def _layouts(tables) -> str:
    counts = tables.recordings["layout"].value_counts()
    rows = [(describe(tables.layouts[key]), n) for key, n in counts.items()]
    return "<h2>Layouts of sensors</h2>" + _table(("sensors", "recordings"), rows)


def _recordings(tables, found: list[dict]) -> str:
    rows, looked_at = [], 0
    for row, said in zip(tables.recordings.itertuples(), found, strict=True):
        remarks = quality.remarks(said)
        looked_at += bool(remarks)
        bads = [f"{name}: {reason}" for name, reason in said["bads"].items()]
        amplitude = ", ".join(f"{kind} {value}" for kind, value in said["amplitude"].items())
        lines = ", ".join(f"{line} Hz {ratio:.3g} ×" for line, ratio in said["line_noise"].items())
        rows.append((row.source, row.subject, row.session, row.task, row.run, row.split,
                     row.n_channels, f"{row.duration_s:.0f}", row.n_windows,
                     f"{row.sfreq_original:g}", amplitude, lines, "; ".join(remarks + bads)))
    return (f"<h2>Recordings</h2><p>{looked_at} have a remark. Amplitude: interquartile range "
            f"after the band-pass, median over channels. Line noise: power at the frequency of the "
            f"mains over that beside it, before the notch, median over channels.</p>"
            + _table(_COLUMNS, rows))


def _spectra(out: Path, tables, contract: InputContract) -> str:
    """A plot a kind of sensor: power spectra of some recordings' windows, as models see them."""
    chosen = np.unique(np.linspace(0, len(tables.recordings) - 1, _SAMPLED_RECORDINGS).astype(int))
    curves: dict[str, list[np.ndarray]] = {}
    reader = shards.ShardReader(out / "windows", "float32")
    for row in tables.recordings.iloc[chosen].itertuples():
        sensors = tables.layouts[row.layout]
        kinds = np.array(sensors.kinds)
        windows = np.unique(np.linspace(0, row.n_windows - 1, _SAMPLED_WINDOWS).astype(int))
        power = np.mean([_power(reader.read(f"{row.recording}.arrow", int(window))
                                .reshape(len(sensors), -1)) for window in windows], axis=0)
        for kind in dict.fromkeys(sensors.kinds):
            curves.setdefault(kind, []).append(np.median(power[kinds == kind], axis=0))
    hz = np.fft.rfftfreq(contract.window_samples, 1 / contract.sfreq)
    plots = [_plot(kind, hz, lines, contract) for kind, lines in sorted(curves.items())]
    return (f"<h2>Spectra</h2><p>Median over channels, a line for each of {len(chosen)} recordings "
            f"(evenly chosen, {_SAMPLED_WINDOWS} windows each), of scaled windows; each line "
            f"relative to its own mean. Grey: outside the band.</p>{''.join(plots)}")


def _power(window: np.ndarray) -> np.ndarray:
    """[channel, frequency] of one Hann-tapered window, relative to its channel's mean power."""
    spectrum = rfft(window * np.hanning(window.shape[1]), axis=1)
    power = np.abs(spectrum) ** 2
    return power / np.maximum(power.mean(1, keepdims=True), 1e-30)


def _plot(kind: str, hz: np.ndarray, lines: list[np.ndarray], contract: InputContract) -> str:
    """SVG of log power over frequency on a linear axis."""
    log = [np.log10(np.maximum(line[1:], 1e-12)) for line in lines]
    top = max(line.max() for line in log)
    width, height = _WIDTH - _LEFT, _HEIGHT - _BOTTOM

    def x(frequency):
        return width * np.asarray(frequency) / hz[-1]

    def y(level):
        return height * (top - np.asarray(level)) / _DECADES

    drawn, words = [], []
    for edge, other in ((0.0, contract.highpass_hz), (contract.lowpass_hz, hz[-1])):
        if edge is not None and other is not None:
            drawn.append(f'<rect x="{x(edge):.1f}" y="0" width="{x(other) - x(edge):.1f}" '
                         f'height="{height}" fill="#eee"/>')
    for tick in np.linspace(0, hz[-1], 5):
        words.append(f'<text x="{_LEFT + x(tick):.0f}" y="{height + 14}" text-anchor="middle">'
                     f'{tick:.0f}</text>')
    for decade in range(0, _DECADES + 1, 2):
        words.append(f'<text x="{_LEFT - 4}" y="{height * decade / _DECADES + 9:.0f}" '
                     f'text-anchor="end">{f"−{10 * decade}" if decade else 0} dB</text>')
    for line in log:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x(hz[1:]), y(line), strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="#1f5fa8" '
                     f'stroke-opacity=".45"/>')
    return (f'<figure><figcaption>{kind}, {len(lines)} recordings</figcaption>'
            f'<svg viewBox="0 0 {_WIDTH + 10} {_HEIGHT}" width="{_WIDTH + 10}">'
            f'<svg x="{_LEFT}" width="{width}" height="{height}">{"".join(drawn)}</svg>'
            f'{"".join(words)}<text x="{_LEFT + width / 2:.0f}" y="{_HEIGHT - 3}" '
            f'text-anchor="middle">Hz</text></svg></figure>')


def _table(heads, rows) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in heads)
    body = "\n".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}\n{body}</table>"


def _cells(values) -> str:
    return "".join(f"<td>{html.escape('' if value is None else str(value))}</td>"
                   for value in values)


_HEAD = """<!doctype html><meta charset="utf-8"><title>Quality of a corpus</title>
<style>body{font:13px system-ui;margin:2em}h2{margin-top:1.6em}table{border-collapse:collapse}
td,th{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
td:first-child{overflow-wrap:anywhere;min-width:9em}
figure{display:inline-block;margin:0 1em 1em 0}svg{border:1px solid #ddd}text{font-size:10px}
</style>
"""
