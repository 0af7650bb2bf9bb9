"""predictions.json, beside predictions.tsv: its columns, and what a reader of it must know.

It has the form of a BIDS sidecar: a key a column with Description, Units and Levels; then Finding,
Decoder (its fingerprint), Flags and Notes, which are word for word those of the terminal, the page
and results.json.
The table itself has no comment lines, so every reader of TSV takes it.
"""

from pathlib import Path

import pandas as pd

from neurofm import artifacts
from neurofm.results import Results

FILE_NAME = "predictions.json"
_COLUMNS = {
    "start_s": ("Start of the window from the first sample of the recording", "s"),
    "stop_s": ("End of the window", "s"),
    "confidence": ("Highest of the probabilities", ""),
    "entropy": ("Entropy of the probabilities over its largest value: 0 = certain, 1 = all classes "
                "are equally probable", ""),
    "abstained": ("True where the confidence is below abstain_below", ""),
    "expected_score": ("Score that the decoder has on recordings like this one", ""),
    "expected_low": ("Lower end of its 95 % interval", ""),
    "expected_high": ("Upper end of its 95 % interval", ""),
    "latency_ms": ("Time from the last sample of the window to its answer", "ms"),
    "bads": ("Sensors that could not be used in the window, with commas", ""),
    "note": ("Why the window has no answer", ""),
}


def known(results: Results, decoder: str) -> dict:
    """What a reader of the table must know. decoder: its fingerprint."""
    return {"Finding": results.summary, "Decoder": decoder,
            "Flags": [str(flag) for flag in results.flags], "Notes": list(results.notes)}


def write(
    folder: Path, table: pd.DataFrame, classes: tuple[str, ...], results: Results, decoder: str
) -> None:
    """Write predictions.json. results: with all of its flags and notes."""
    about = {name: _column(name, classes) for name in table}
    artifacts.write_json(folder / FILE_NAME, {**about, **known(results, decoder)})


def _column(name: str, classes: tuple[str, ...]) -> dict:
    if name == "predicted" and classes:
        return {"Description": "Most probable class; empty where the decoder abstained",
                "Levels": {each: f"Class {each}" for each in classes}}
    if name == "predicted":
        return {"Description": "Number that the decoder predicts"}
    if name.removeprefix("p_") in classes:
        return {"Description": f"Probability of the class {name.removeprefix('p_')}"}
    said, unit = _COLUMNS[name]
    return {"Description": said, **({"Units": unit} if unit else {})}
