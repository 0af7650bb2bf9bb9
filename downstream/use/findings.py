"""What a decoder's answers mean, in sentences for people who did not train it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neurofm import artifacts, checkpoints
from neurofm.data.recording import Recording
from neurofm.models.protocol import WindowDecoder
from neurofm.pages import words
from neurofm.results import Results
from neurofm.results import score as result_row

from ..scoring.predictions import subjects_seen

_MOST_BADS = 12
_ENOUGH_WINDOWS = 100  # to say that probabilities are calibrated


def finding(table: pd.DataFrame, classes: tuple[str, ...], abstain_below: float = 0.0) -> str:
    """The answer for the whole recording. Windows without an answer (NaN) are counted apart.

    The probability of a recording is the mean over its windows: they are not independent, so
    adding up their evidence (log-odds) would end in a certainty that nobody has.
    """
    answered = table.dropna(subset=[f"p_{name}" for name in classes] or ["predicted"])
    n, lost = len(answered), len(table) - len(answered)
    what = words.count(n, "window")
    if n:
        what += f" of {answered['stop_s'].iloc[0] - answered['start_s'].iloc[0]:g} s"
    apart = f" {lost} more had no usable signal." if lost else ""
    if not n:
        return f"Nothing could be decoded: no window had a usable signal ({lost} had none)."
    if not classes:
        number = answered["predicted"].astype(float)
        spread = f" ± {number.std():.4g}" if n > 1 else ""
        return (f"The decoder's number is {number.mean():.4g}{spread} (mean and standard deviation "
                f"over {what}; lowest {number.min():.4g}, highest {number.max():.4g}).{apart}")
    counts = answered["predicted"].value_counts()
    named = {name: int(counts.get(name, 0)) for name in classes}
    mean = {name: answered[f"p_{name}"].mean() for name in classes}
    order = sorted(classes, key=lambda name: (-named[name], -mean[name]))
    first, most = order[0], named[order[0]]
    if not most:
        lead = (f"The decoder is not sure enough to name any of {what}: its highest probability is "
                f"below {abstain_below:g} in all of them.")
    elif most > named[order[1]]:
        lead = f"The decoder names {first} in {most} of {what} ({words.percent(most / n)})"
    else:
        lead = (f"The decoder names {' and '.join(k for k in order if named[k] == most)} equally "
                f"often, each in {most} of {what} ({words.percent(most / n)})")
    if most:
        others = [f"{name} in {named[name]}" for name in order if 0 < named[name] < most]
        unnamed = n - sum(named.values())
        if unnamed:
            others.append(f"none in {unnamed}, where its highest probability is below "
                          f"{abstain_below:g}")
        lead += "".join(f", {other}" for other in others) + "."
    means = ", ".join(f"{name} {words.number(mean[name], 2)}" for name in order)
    return f"{lead} Mean probability over all windows: {means}.{apart}"


def results(
    question: str, paths: list[str], model: str, table: pd.DataFrame, decoder: WindowDecoder,
    abstain_below: float, remarks: list[str],
) -> Results:
    """What is said of a decoded recording, on the terminal, on the page and in results.json.
    remarks: of its quality."""
    told, good = score(model)
    rows = numbers(table, decoder.classes)
    return Results(
        question, data=paths, model=model, methods=["decoder"], subjects=1,
        scores=[result_row("decoder", name, value, n=1) for name, value in rows.items()
                if value != ""],
        summary=finding(table, decoder.classes, abstain_below),
        notes=[*remarks, *([] if good else [told])])


def numbers(table: pd.DataFrame, classes: tuple[str, ...]) -> dict:
    """A recording in a row: share and mean probability of each class, or the number's mean."""
    table = table.dropna(subset=["predicted"] if not classes else [f"p_{classes[0]}"])
    if not len(table):
        return {}
    if not classes:
        return {"mean": round(table["predicted"].mean(), 6),
                "std": round(table["predicted"].std(ddof=1), 6) if len(table) > 1 else ""}
    numbers = {f"share_{name}": round((table["predicted"] == name).mean(), 4)
               for name in classes}
    numbers |= {f"p_{name}": round(table[f"p_{name}"].mean(), 4) for name in classes}
    return {**numbers, "confidence": round(table["confidence"].mean(), 4),
            "abstained": int(table["abstained"].sum())}


def live_quality(table: pd.DataFrame, from_start: Sequence[str] = ()) -> list[str]:
    """What a reader must know of a stream's signal; empty where no fault was found. from_start:
    what is known before it begins (`CausalStandardizer.remarks`)."""
    n, said = len(table), [f"{text[:1].upper()}{text[1:]}." for text in from_start]
    unusable = int((table["note"] != "").sum())
    if unusable:
        said.append(f"{unusable} of {n} windows could not be decoded: "
                    f"{table.loc[table['note'] != '', 'note'].iloc[0]}.")
    bads = table["bads"].str.split(",").explode().replace("", None).value_counts()
    for name, times in bads.head(_MOST_BADS).items():
        said.append(f"{name} could not be used in {times} of {n} windows.")
    if len(bads) > _MOST_BADS:
        said.append(f"{len(bads) - _MOST_BADS} other sensors were unusable at times.")
    return said


def timing(summary: dict) -> str:
    """Latency and speed in a few sentences; the filters' own delay apart."""
    if not summary["windows"]:
        return "No window ended, so latency is unknown."
    delays = ", ".join(f"{ms:g} ms at {hz}" for hz, ms in summary["group_delay_ms"].items())
    kept = ("It kept up: every answer came before the next window ended." if summary["kept_up"]
            else f"It did not keep up: {summary['late']} of {summary['windows']} answers came "
                 "after the next window had ended.")
    return ("Latency from the last sample of a window to its answer: median "
            f"{summary['latency_median_ms']:.0f} ms, 99th percentile "
            f"{summary['latency_p99_ms']:.0f} ms over {summary['windows']} windows, with "
            f"{words.count(summary['threads'], 'thread')}; computing is "
            f"{summary['real_time_factor']:.0f} times as fast as the signal. {kept} Not "
            f"included: the filters delay the signal by {delays}.")


_ALPHA = 0.05
TOO_FEW = ("With so few test subjects no score can be told from chance: do not rely on its "
           "predictions.")
NO_BETTER = "This does not differ from chance: its predictions carry no information."


def score(model: str) -> tuple[str, bool]:
    """(how the decoder did on people it was not trained on, whether that is any good)."""
    path = Path(model) / "test" / "metrics.json"
    if not path.exists():
        return ("This decoder has no stored test score on held-out subjects. Do not rely on "
                "its predictions without one.", False)
    if artifacts.is_sealed(path.parent):
        artifacts.open_sealed(path.parent, "results")
    found = json.loads(path.read_text())
    table = path.with_name("predictions.parquet")
    if "subjects_seen" not in found and table.is_file():
        found["subjects_seen"] = subjects_seen(pd.read_parquet(table))
    return score_in_words(found)


def score_in_words(found: dict) -> tuple[str, bool]:
    """(the metrics of test subjects in words, whether they are of new subjects and better than
    guessing)."""
    n, known = found.get("subjects", "?"), found.get("same_people", False)
    seen = 0 if known else found.get("subjects_seen", 0)
    tested = (f"On {words.count(n, 'training subject')} at another time" if known else
              f"There is no score on new subjects. On {words.count(n, 'subject')} of its training "
              f"data" if seen and seen == n else
              f"On {words.count(n, 'subject')}, of which {seen} "
              f"{'is' if seen == 1 else 'are'} in its training data" if seen else
              f"On {words.count(n, 'subject')} not in its training data")
    leak = " A score on training subjects is not generalization." if seen else ""
    if "balanced_accuracy" not in found:
        numbers = ", ".join(f"{_SHORT.get(name, name)} {value:.3g}" for name, value in found.items()
                            if isinstance(value, float))
        return (f"{tested}: {numbers} ({found.get('windows', '?')} windows).{leak}",
                found.get("r2", 1.0) > 0 and not seen)
    least = 1 / found["exchanges"] if found["exchanges"] else 1.0  # with few people p stays above
    alone = found["low"] != found["low"]  # NaN: one person, over whom there is no interval
    good = found["p_chance"] <= _ALPHA and (alone or found["low"] > found["chance"])
    right = round(100 * found["balanced_accuracy"])
    accuracy = words.score(found["balanced_accuracy"], found["low"], found["high"],
                           chance=found["chance"])
    text = (f"{tested}: about {right} of 100 windows were correct; chance is "
            f"{round(100 * found['chance'])} (balanced accuracy {accuracy}, "
            f"{words.p_is(found['p_chance'])}; {found['windows']} windows).")
    if alone:
        text += " One subject says little about others."
    if not good:
        few = least > _ALPHA and found["p_chance"] <= least
        text += f" {TOO_FEW if few else NO_BETTER}"
    return text + leak, good and not seen


_SHORT = {"mae": "mean absolute error", "r2": "share of variance explained (R²)",
          "pearson_r": "correlation"}


def limits(decoder: WindowDecoder) -> list[str]:
    """What the answers do not mean."""
    said = ["It is not a diagnosis. For research only; this is not a medical device."]
    if decoder.classes:
        names = " or ".join([", ".join(decoder.classes[:-1]), decoder.classes[-1]])
        said.append(f"The decoder knows only {names}. It always answers with one of them, even "
                    "where none applies, as in sleep, illness or speech.")
        if not decoder.calibrated_on:
            said.append("Its probabilities are not calibrated: 0.9 does not mean correct in "
                        "nine of ten windows.")
        elif 0 < decoder.calibration_windows < _ENOUGH_WINDOWS:
            said.append("Its probabilities are not calibrated: they were adjusted on only "
                        f"{words.count(decoder.calibration_windows, 'window')} of "
                        f"{decoder.calibrated_on}{_temperature(decoder)}.")
        else:
            said.append(f"Its probabilities were calibrated on {decoder.calibrated_on}"
                        f"{_temperature(decoder)}: at 0.9, about nine in ten of their "
                        "windows were correct. This may not hold for another subject or device.")
        said.append("The mean probability is an average over windows, not accumulated "
                    "evidence: windows of one recording are not independent.")
    else:
        said.append("The standard deviation is over windows of this recording. The error can "
                    "be larger: see the test score on other subjects.")
    return said


def _temperature(decoder: WindowDecoder) -> str:
    return "" if decoder.temperature == 1 else f" (temperature {decoder.temperature:.2f})"


def trained_on(model: str, recording: Recording | None) -> list[str]:
    """Sentences about the training subjects of a decoder, and whether this person is one."""
    ledger = checkpoints.read_ledger(model)
    if ledger is None:
        return ["This decoder carries no list of its training subjects, so it is not known whether "
                "this person is one."]
    people: dict[str, set] = {}
    for entry in ledger["recordings"]:
        people.setdefault(entry["role"], set()).add(entry["subject"])
    use = {"train": "trained on", "validation": "checked during training on"}
    roles = [f"{use.get(role, f'used ({role})')} {words.count(len(who), 'subject')}"
             for role, who in people.items()]
    hours = sum(float(entry["hours"]) for entry in ledger["recordings"])
    told = [f"It was {', and '.join(roles)}; {hours:.1f} hours of recordings." if roles else
            "Its list of training subjects is empty."]
    told += [f"It holds weights published by others: {entry['weights']} ({entry['paper']}; "
             f"{entry['note']})." for entry in ledger.get("published", [])]
    if recording is None or not recording.subject:
        return [*told, "The subject of this recording is not known, so it is not known whether "
                       "this person is a training subject."]
    subject, digest = f"{recording.dataset or ''}/{recording.subject}", recording.digest
    same = [entry for entry in ledger["recordings"] if entry.get("signal") == digest]
    known = same or [entry for entry in ledger["recordings"] if entry["subject"] == subject]
    if known:
        name = "This recording" if same else subject
        alias = f", as {known[0]['subject']}" if known[0]["subject"] != subject else ""
        parts = ", ".join(sorted({entry["role"] for entry in known}))
        return [*told, f"{name} is in this decoder's training data ({parts}{alias})."]
    return [*told, f"{subject} is not on the list of training subjects, and this recording is none "
                   f"of the training recordings. Another recording of the same person under "
                   f"another name would not be noticed."]
