"""What an ingest tells a person: a short summary on screen, a table of quality as one HTML page."""

import html
from pathlib import Path

from neurofm.data.windows import SPLITS, subject_keys

from . import quality
from .splits import SplitRule, unknown_names
from .steps.refusal import some

_SHOWN_REASONS = 20


def print_summary(
    tables, failures: dict[str, dict], out: Path, rule: SplitRule, *, guessed: int, seconds: float
) -> None:
    """Recordings, hours, subjects a split, layouts, size, failures, place."""
    recordings, windows = tables.recordings, tables.windows
    hours = recordings["duration_s"].sum() / 3600
    size = sum(file.stat().st_size for file in (out / "windows").glob("*.arrow"))
    print(f"\ncorpus      {out}")
    print(f"recordings  {len(recordings)} ({hours:.2f} h, {len(windows)} windows), "
          f"{len(failures)} failed, {seconds:.1f} s")
    subjects = subject_keys(recordings)
    shares = []
    for split in SPLITS:
        chosen = recordings["split"] == split
        shares.append(f"{split} {subjects[chosen].nunique()} "
                      f"({recordings.loc[chosen, 'n_windows'].sum()} windows)")
    print(f"subjects    {subjects.nunique()}: {', '.join(shares)}")
    labels = windows["label"].dropna().value_counts().sort_index()
    if len(labels):
        print("labels      " + ", ".join(f"{label} {n}" for label, n in labels.items()))
    layouts = recordings.groupby("layout")["recording"].count().sort_values(ascending=False)
    listed = ", ".join(f"{describe(tables.layouts[key])} ({n} recordings)"
                       for key, n in layouts.head(6).items())
    print(f"layouts     {len(layouts)}: {listed}{', …' if len(layouts) > 6 else ''}")
    print(f"size        {size / 1e6:.1f} MB, {size / 1e6 / max(hours, 1e-9):.0f} MB an hour")
    print(f"quality     {out / 'quality.html'}")
    if guessed:
        print(f"note        {guessed} recordings do not say whose they are: the file's name stands "
              f"for the subject (give `files` or `table` where one person has several)")
    for split, share in zip(SPLITS, rule.fractions, strict=True):
        if share and not (recordings["split"] == split).any():
            print(f"note        no subject fell into {split}: name some with --splits.{split}")
    unknown = unknown_names(recordings.assign(attributes=_attributes(recordings)), rule)
    if unknown:
        print(f"note        named in splits, but in no recording: {', '.join(unknown)}")
    print_failures(failures)


def print_failures(failures: dict[str, dict]) -> None:
    """Each reason once, with the recordings it holds for."""
    if not failures:
        return
    by_reason: dict[str, list[str]] = {}
    for record in failures.values():
        by_reason.setdefault(record["reason"], []).append(record["source"])
    print(f"failed      {len(failures)}:")
    for reason, sources in list(by_reason.items())[:_SHOWN_REASONS]:
        print(f"  {some(sources, 4)}: {reason}")
    if len(by_reason) > _SHOWN_REASONS:
        print("  … and more in failures.tsv")
    print("  mend them and run the same command again: only these are tried again")


def describe(sensors) -> str:
    """'102 mag + 204 planar_grad + 60 eeg'."""
    counts = {kind: sensors.kinds.count(kind) for kind in dict.fromkeys(sensors.kinds)}
    return " + ".join(f"{n} {kind}" for kind, n in counts.items())


def write_html(path: Path, tables, failures: dict[str, dict]) -> None:
    """One page: a row a recording with what to look at, then the failures."""
    rows = []
    for row in tables.recordings.itertuples():
        found = quality.from_text(row.quality)
        amplitude = ", ".join(f"{kind} {value}" for kind, value in found["amplitude"].items())
        remarks = quality.remarks(found)
        cells = [row.source, row.dataset, row.subject, row.task, row.split, row.n_channels,
                 f"{row.duration_s:.0f}", row.n_windows, f"{row.sfreq_original:g}",
                 len(found["bads"]), amplitude, "; ".join(remarks)]
        rows.append(f"<tr{' class=look' if remarks else ''}>{_cells(cells)}</tr>")
    heads = ("recording", "dataset", "subject", "task", "split", "channels", "seconds", "windows",
             "Hz", "bad", "amplitude (interquartile range)", "remarks")
    failed = "".join(f"<tr>{_cells([f['source'], f['reason']])}</tr>" for f in failures.values())
    path.write_text(_PAGE.format(
        head="".join(f"<th>{head}</th>" for head in heads), rows="\n".join(rows),
        n=len(rows), failed=f"<h2>{len(failures)} failed</h2><table>{failed}</table>"
        if failures else "<p>None failed.</p>",
    ), encoding="utf-8")


def _cells(values) -> str:
    return "".join(f"<td>{html.escape('' if value is None else str(value))}</td>"
                   for value in values)


def _attributes(recordings) -> list[dict]:
    import json

    return [json.loads(text) for text in recordings["attributes"]]


_PAGE = """<!doctype html><meta charset="utf-8"><title>Quality of a corpus</title>
<style>body{{font:14px system-ui;margin:2em}}table{{border-collapse:collapse}}
td,th{{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}}
th{{position:sticky;top:0;background:#fff}}.look td{{background:#fff6e0}}</style>
<h1>{n} recordings</h1><p>Shaded rows have a remark.</p>
<table><tr>{head}</tr>
{rows}</table>
{failed}
"""
