"""quality.html of a corpus: one page by which a person decides whether to trust it.

From top to bottom: failures, preprocessing, splits, spectra of a sample of windows, and a table of
recordings with remarks.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.fft import rfft

from neurofm.data import shards
from neurofm.data.contract import Contract
from neurofm.data.storage import Storage
from neurofm.data.windows import SPLITS
from neurofm.pages import page as pages
from neurofm.pages import table, words
from neurofm.pages.figure import COLORS
from neurofm.pages.page import Page
from neurofm.seen import subject_keys

from . import layout_figure, quality, t1_page
from .report import describe

_SAMPLED_RECORDINGS, _SAMPLED_WINDOWS, _DRAWN_LAYOUTS = 24, 8, 4
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 460, 200, 40, 30
_DECADES = 6  # of power that a plot shows below its maximum
_COLUMNS = ("recording", "remarks", "subject", "session", "task", "run", "split", "channels",
            "seconds", "windows", "Hz", "amplitude", "line noise")
_ABOUT = {"amplitude": "Amplitude: interquartile range after the band-pass, median over channels.",
          "line noise": "Line noise: power at the line frequency over the power beside it, before "
                        "the notch filter, median over channels."}


def write(
    out: Path, tables, failures: dict[str, dict], contract: Contract, storage: Storage = "float32"
) -> None:
    """Write `out`/quality.html; the shards of `tables` lie in `out`/windows, kept as `storage`."""
    n, hours = len(tables.recordings), tables.recordings["duration_s"].sum() / 3600
    datasets = ", ".join(sorted(set(tables.recordings["dataset"].dropna())))
    title = f"Data quality: {datasets or out.resolve().name}"
    images = contract.grid is not None
    about = words.count(n, "image") if images else f"{words.count(n, 'recording')}, {hours:.2f} h"
    page = Page(title, about, [
        _failures(failures),
        ("Preprocessing", _contract(contract) + _storage(tables, storage)),
        ("Splits", _splits(tables)),
        *t1_page.sections(out, tables, contract),
        ("Sensor layouts", "" if images else _layouts(tables)),
        ("Spectra", _spectra(out, tables, contract)),
        ("Recordings", _recordings(tables)),
    ])
    (out / "quality.html").write_text(page.html(), encoding="utf-8")


def _failures(failures: dict[str, dict]) -> tuple[str, str]:
    if not failures:
        return "", pages.paragraph("No recording failed.")
    rows = [(record["source"], record["reason"]) for record in failures.values()]
    heading = f"{words.count(len(rows), 'recording')} failed"
    return heading, _table(("recording", "reason"), rows, wrap=True)


def _contract(contract: Contract) -> str:
    return table.pairs(contract.described())


def _storage(tables, storage: Storage) -> str:
    """What storing costs; "" where nothing is rounded."""
    errors = [quality.from_text(text).get("storage_error", 0.0)
              for text in tables.recordings["quality"]]
    return "" if storage == "float32" else pages.paragraph(
        f"Numbers are stored as {storage}. In the channel and window where its share is "
        f"largest, the error is {max(errors):.2g} of the signal (RMS over RMS).", "small")


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
    return _table(("split", "subjects", "recordings", "windows", *labels), rows)


def _layouts(tables) -> str:
    counts = tables.recordings["layout"].value_counts()
    rows = [(describe(tables.layouts[key]), n) for key, n in counts.items()]
    drawn = [layout_figure.draw(tables.layouts[key], f"{describe(tables.layouts[key])}: places "
                                f"used in {words.count(n, 'recording')}")
             for key, n in counts.head(_DRAWN_LAYOUTS).items()]
    more = (f"<p>Places of the {_DRAWN_LAYOUTS} most common layouts of {len(counts)}:</p>"
            if len(counts) > _DRAWN_LAYOUTS else "")
    return _table(("sensors", "recordings"), rows) + more + "".join(drawn)


def _recordings(tables) -> str:
    found = [quality.from_text(text) for text in tables.recordings["quality"]]
    every, rows, looked_at = [quality.remarks(said) for said in found], [], 0
    # What holds of most is said once, above the table.
    counts = Counter(text for remarks in every for text in set(remarks))
    common = [text for text, n in counts.most_common() if n > max(4, len(found) / 2)]
    for row, said, own in zip(tables.recordings.itertuples(), found, every, strict=True):
        remarks = [text for text in own if text not in common]
        looked_at += bool(remarks)
        bads = [f"{name}: {reason}" for name, reason in said["bads"].items()]
        amplitude = ", ".join(f"{kind} {value}" for kind, value in said["amplitude"].items())
        lines = ", ".join(f"{line} Hz {ratio:.3g} ×" for line, ratio in said["line_noise"].items())
        rows.append((row.source, "; ".join(remarks + bads), row.subject, row.session, row.task,
                     row.run, row.split, row.n_channels, round(row.duration_s), row.n_windows,
                     f"{row.sfreq_original:.4g}", amplitude, lines))
    made = pd.DataFrame(rows, columns=list(_COLUMNS))
    told = [name for name in _COLUMNS if made[name].replace("", None).notna().any()]
    about = [f"Recordings with a remark{' of their own' * bool(common)}: {looked_at}.",
             *(text for name, text in _ABOUT.items() if name in told)]
    shared = pages.bullets([f"{counts[text]} of {len(found)} recordings: {text}"
                            for text in common]) if common else ""
    return (shared + pages.paragraph(" ".join(about), "small")
            + table.html(made[told], dense=True))


def _spectra(out: Path, tables, contract: Contract) -> str:
    """A plot a kind of sensor: power spectra of some recordings' windows, as models see them. ""
    where windows have unlike lengths."""
    if contract.window_samples is None:
        return ""
    chosen = np.unique(np.linspace(0, len(tables.recordings) - 1, _SAMPLED_RECORDINGS).astype(int))
    curves: dict[str, list[np.ndarray]] = {}
    reader = shards.ShardReader(out / "windows", "float32")
    first_row = tables.windows.groupby("recording")["row"].min()
    for row in tables.recordings.iloc[chosen].itertuples():
        sensors = tables.layouts[row.layout]
        kinds = np.array(sensors.kinds)
        windows = np.unique(np.linspace(0, row.n_windows - 1, _SAMPLED_WINDOWS).astype(int))
        shard, first = getattr(row, "shard", row.recording), first_row[row.Index]
        power = np.mean([_power(reader.read(f"{shard}.arrow", int(first + window))
                                .reshape(len(sensors), -1)) for window in windows], axis=0)
        for kind in dict.fromkeys(sensors.kinds):
            curves.setdefault(kind, []).append(np.median(power[kinds == kind], axis=0))
    hz = np.fft.rfftfreq(contract.window_samples, 1 / contract.one_rate)
    plots = [_plot(kind, hz, lines, contract) for kind, lines in sorted(curves.items())]
    return pages.paragraph(
        f"Windows after preprocessing: one line per recording ({len(chosen)} recordings, evenly "
        f"spaced in the table below; {_SAMPLED_WINDOWS} windows each), median over channels, in dB "
        f"relative to the line's own mean power. Gray: outside the pass band.", "small"
    ) + "".join(plots)


def _power(window: np.ndarray) -> np.ndarray:
    """[channel, frequency] of one Hann-tapered window, relative to its channel's mean power."""
    spectrum = rfft(window * np.hanning(window.shape[1]), axis=1)
    power = np.abs(spectrum) ** 2
    return power / np.maximum(power.mean(1, keepdims=True), 1e-30)


def _plot(kind: str, hz: np.ndarray, lines: list[np.ndarray], contract: Contract) -> str:
    """SVG of log power over frequency on a linear axis."""
    log = [np.log10(np.maximum(line[1:], 1e-12)) for line in lines]
    top = max(line.max() for line in log)
    width, height = _WIDTH - _LEFT, _HEIGHT - _BOTTOM

    def x(frequency):
        return width * np.asarray(frequency) / hz[-1]

    def y(level):
        return height * (top - np.asarray(level)) / _DECADES

    drawn, text = [], []
    for edge, other in ((0.0, contract.highpass_hz), (contract.lowpass_hz, hz[-1])):
        if edge is not None and other is not None:
            drawn.append(f'<rect x="{x(edge):.1f}" y="0" width="{x(other) - x(edge):.1f}" '
                         f'height="{height}" fill="#eee"/>')
    for tick in np.linspace(0, hz[-1], 5):
        text.append(f'<text x="{_LEFT + x(tick):.0f}" y="{height + 14}" text-anchor="middle">'
                     f'{tick:.0f}</text>')
    for decade in range(0, _DECADES + 1, 2):
        text.append(f'<text x="{_LEFT - 4}" y="{height * decade / _DECADES + 9:.0f}" '
                     f'text-anchor="end">{f"−{10 * decade}" if decade else 0} dB</text>')
    for line in log:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x(hz[1:]), y(line), strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{COLORS[0]}" '
                     f'stroke-opacity=".45"/>')
    return (f'<figure><figcaption>{kind}, {words.count(len(lines), "recording")}</figcaption>'
            f'<svg viewBox="0 0 {_WIDTH + 10} {_HEIGHT}" width="{_WIDTH + 10}" font-size="10">'
            f'<svg x="{_LEFT}" width="{width}" height="{height}">{"".join(drawn)}</svg>'
            f'{"".join(text)}<text x="{_LEFT + width / 2:.0f}" y="{_HEIGHT - 3}" '
            f'text-anchor="middle">frequency (Hz)</text></svg></figure>')


def _table(heads: tuple[str, ...], rows: list[tuple], wrap: bool = False) -> str:
    made = table.html(pd.DataFrame(rows, columns=list(heads)))
    return made.replace("<table>", '<table class="pairs">') if wrap else made
