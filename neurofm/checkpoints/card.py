"""The model card: what a checkpoint is, its training subjects and its scores, from its own files.

Front matter is in the Hub's form; evaluations are its `model-index`.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..pages import table, words
from ..pages.table import plain
from . import citations, dataset_ids, robustness
from .ledger import leg_in_words
from .robustness import Robustness

if TYPE_CHECKING:
    from ..data.contract import Contract
    from ..pretrained import NeuroFMPreTrainedModel

POWER_W, KG_PER_KWH = 200.0, 0.45  # assumed where nothing better is said: a node; a world's mean


@dataclass(frozen=True)
class Evaluation:
    """A table of results."""

    task: str  # as a person would ask
    dataset: str  # names of the data sets
    metric: str  # exact name
    protocol: str  # who was trained on and who judged
    # method → (value, low, high); of these `ours` are this checkpoint's, the others stand beside it
    rows: dict[str, tuple[float, float, float]]
    ours: tuple[str, ...]
    subjects: int  # number judged
    chance: float | None = None  # of the metric; None = none
    dataset_id: str = ""  # of OpenNeuro or the Hub, revision: its version or that of the corpus
    revision: str = ""


@dataclass(frozen=True)
class About:
    """What a person says of a checkpoint."""

    title: str = ""
    license: str = ""  # of these weights, in the Hub's spelling
    limits: str = ""  # limits, citation: in words
    citation: str = ""
    hours: float | None = None  # of training, power_w: of the machine, kg_per_kwh: of its grid
    power_w: float = POWER_W
    kg_per_kwh: float = KG_PER_KWH
    evaluations: Sequence[Evaluation] = field(default_factory=tuple)
    license_name: str = ""  # of a license "other", license_link: where it can be read
    license_link: str = ""
    base_model: str = ""  # repository that it was trained from


def card(
    model, ledger: dict, metrics: dict[str, float], about: About | None = None,
    repo: str = "PATH OR ORG/NAME", worse: Robustness | None = None,
) -> str:
    """Markdown with front matter. ledger: `ledger.training_ledger`. metrics: of the training.
    worse: scores of a decoder on worse recordings."""
    about = about or About()
    parts = [
        _front(model, ledger, about, repo),
        f"# {plain(title := about.title or type(model).__name__)}\n",
        _INSTALL,
        _what(model),
        _weights(model),
        "## Input\n\n" + contract_in_markdown(model.contract),
        _training(model, ledger),
        *(_evaluation(each) for each in about.evaluations),
        _worse(worse),
        _numbers(metrics),
        _limits(ledger, about),
        _use(model, repo),
        citations.section(about.citation, title, repo),
        _carbon(about),
    ]
    return "\n".join(part for part in parts if part)


def contract_in_markdown(contract: "Contract") -> str:
    """What goes in, as a list; texts of the contract stand in it as text."""
    (_, takes), *rows = contract.described()
    return "\n".join([
        f"Takes {plain(takes)}. `neurofm decode` and `neurofm.embed` bring a recording there:\n",
        *(f"- {plain(title)}: {plain(text)}" for title, text in rows), ""])


def _front(model, ledger: dict, about: About, repo: str) -> str:
    import yaml

    published = ledger.get("published", [])
    # As published; what was trained on them since is under the terms of whoever trained it.
    license = about.license or (published[0]["licence"].lower()
                                if published and not ledger["recordings"] else "")
    fields: dict = {"library_name": "neurofm", "pipeline_tag": _pipeline(model),
                    "tags": [*model.contract.tags, "brain", "neuroscience",
                             model.config.model_type]}
    if license:
        fields["license"] = license
    if license == "other" and about.license_name:
        fields |= {"license_name": about.license_name, "license_link": about.license_link}
    base = [about.base_model] if about.base_model else [
        entry["repo"] for entry in published if entry.get("repo")]
    if base:
        fields["base_model"] = base[0] if len(base) == 1 else base
    seen = [entry["subject"].rpartition("/")[0] for entry in ledger["recordings"]]
    seen += [name for entry in published for name in entry["datasets"]]
    if ids := dataset_ids.listed(ledger.get("datasets", {}), seen):
        fields["datasets"] = ids
    if about.evaluations:
        fields["model-index"] = [{"name": about.title or repo.split("/")[-1],
                                  "results": [_result(each, row) for each in about.evaluations
                                              for row in each.ours]}]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n"


def _result(each: Evaluation, row: str) -> dict:
    value, low, high = each.rows[row]
    return {
        "task": {"type": "other", "name": each.task},
        "dataset": {"type": each.dataset_id or "other", "name": each.dataset,
                    **({"revision": each.revision} if each.revision else {}), "split": "test"},
        "metrics": [{
            "type": each.metric.replace(" ", "_"),
            "value": round(value, 4),
            "name": f"{each.metric} [95 %] ({row}; {each.protocol}): "
                    f"{words.score(value, low, high, each.subjects, each.chance)}",
        }],
    }


def _pipeline(model: "NeuroFMPreTrainedModel") -> str:
    """The Hub has no task of signals: features have one, decoders and synthesizers none."""
    from ..models.protocol import ScanModel, WindowDecoder  # see `_what`

    return "other" if isinstance(model, WindowDecoder | ScanModel) else "feature-extraction"


def _what(model: "NeuroFMPreTrainedModel") -> str:
    from ..models.protocol import WindowDecoder  # not above: torch takes seconds to import

    first = inspect.cleandoc(type(model).__doc__ or "").split("\n\n")[0].replace("\n", " ")
    n = sum(parameter.numel() for parameter in model.parameters())
    usual = inspect.signature(type(model.config).__init__).parameters
    shape = {key: value for key, value in model.config.to_diff_dict().items()
             if isinstance(value, int | float | str) and key in usual
             and value != usual[key].default}
    said = plain(", ".join(f"{key} {value}" for key, value in shape.items()))
    classes = plain(", ".join(model.classes if isinstance(model, WindowDecoder) else ()))
    channels = plain(", ".join(model.ch_names))
    size = f"{n / 1e6:.2f} M" if n >= 1e5 else f"{n:,}"
    return (f"**{type(model).__name__}**, {size} parameters. {first}\n"
            + (f"\nClasses: {classes}.\n" if classes else "")
            + (f"\nReads these channels, by their names: {channels}.\n" if channels else "")
            + (f"\nNon-default settings: {said}.\n" if said else ""))


def _weights(model: "NeuroFMPreTrainedModel") -> str:
    """What a decoder of several parts answers by, the weightiest first."""
    from ..models.protocol import WindowDecoder
    from ..models.stacked_config import in_words  # see `_what`

    if not isinstance(model, WindowDecoder) or not model.weights:
        return ""
    rows = [[plain(in_words(name)), words.percent(share)]
            for name, share in sorted(model.weights.items(), key=lambda row: -row[1])]
    return ("## Views\n\nEach view of a window has a linear model of its own; the answer is their "
            "weighted sum. Views, penalties and weights were chosen by folds over the training "
            "subjects. Re-centered: the mean of the person's windows is taken away.\n\n"
            f"{table.markdown(['view', 'weight'], rows)}\n")


def _training(model, ledger: dict) -> str:
    """Training subjects: a row a data set."""
    people: dict[str, dict[str, set]] = {}
    hours: dict[str, float] = {}
    for entry in ledger["recordings"]:
        name = entry["subject"].rpartition("/")[0]
        people.setdefault(name, {}).setdefault(entry["role"], set()).add(entry["subject"])
        hours[name] = hours.get(name, 0.0) + entry["hours"]
    lines = ["## Trained on", ""]
    if people:
        total = {role: len(set().union(*(of.get(role, set()) for of in people.values())))
                 for role in sorted({role for of in people.values() for role in of})}
        mark = "".join(filter(str.isalnum, model.contract.corpus or ""))
        corpus = f" on corpus `{mark}`" if mark else ""
        lines += [f"Trained{corpus}: "
                  + "; ".join(f"{plain(role)}: {words.count(n, 'subject')}"
                              for role, n in total.items())
                  + f"; {sum(hours.values()):.2f} h.", ""]
        terms, rows = ledger.get("datasets", {}), []
        for name, roles in sorted(people.items()):
            counts = ", ".join(f"{len(each)} {role}" for role, each in sorted(roles.items()))
            rows.append([_dataset(name, terms), counts, f"{hours[name]:.2f}",
                         terms.get(name, {}).get("licence") or "not stated"])
        lines += [table.markdown(["data set", "subjects", "hours", "terms"], rows), ""]
    if legs := ledger.get("legs"):
        lines += ["Settings were changed during the training:", "",
                  *(f"- {plain(leg_in_words(leg))}" for leg in legs), ""]
    for entry in ledger.get("published", []):
        lines += [plain(
            f"Holds weights published by others: {entry['weights']} ({entry['licence']}; "
            f"{entry['paper']}), trained on "
            f"{', '.join(entry['datasets']) or 'no data set named'} ({entry['note']})."), ""]
        if "remarks" in entry:
            lines += [*(f"- {plain(remark)}" for remark in entry["remarks"]), ""]
    if len(lines) == 2:
        lines += ["None: random weights, or the training subjects are unknown.", ""]
    return "\n".join(lines)


def _dataset(name: str, terms: dict) -> str:
    full = terms.get(name, {}).get("name", "")
    return f"{name} ({full})" if full and full != name else name or "unnamed"


def _evaluation(each: Evaluation) -> str:
    chance = "" if each.chance is None else f"; chance {words.estimate(each.chance)}"
    subjects = words.count(each.subjects, "subject")
    rows = [[table.Markup(f"**{plain(name)}**") if name in each.ours else name,
             words.estimate(*values)]
            for name, values in sorted(each.rows.items(), key=lambda row: -row[1][0])]
    return "\n".join([
        f"## Evaluation: {plain(each.task)}", "",
        plain(f"{each.metric}, {each.dataset}, {subjects}, {each.protocol}{chance}."), "",
        table.markdown(["method", f"{each.metric} [95 %]"], rows), ""])


def _numbers(metrics: dict[str, float]) -> str:
    if not metrics:
        return ""
    rows = [[name, f"{value:.4g}"] for name, value in sorted(metrics.items())]
    return f"## Training metrics\n\n{table.markdown(['metric', 'value'], rows)}\n"


def _worse(found: Robustness | None) -> str:
    if found is None:
        return ""
    return (f"## Worse recordings\n\n{plain(found.about())}\n\n"
            f"{table.markdown(list(robustness.HEADS), found.rows())}\n")


def _limits(ledger: dict, about: About) -> str:
    lines = ["## Limits", ""]
    if about.limits:
        lines += [about.limits.strip(), ""]
    lines += ["A research model, not a medical device; its output is not a diagnosis. On other "
              "devices, subjects and tasks it may be wrong with the same confidence.", ""]
    if ledger["recordings"] or ledger.get("published"):
        lines += ["`training_data.json` lists every training recording; `neurofm evaluate` and "
                  "`neurofm decode` flag subjects and data sets that are among them.", ""]
    return "\n".join(lines)


_INSTALL = """\
```bash
pip install neurofm
```

`transformers` alone does not know this model: install neurofm, and `import neurofm` before
`AutoModel.from_pretrained`.
"""


def _use(model: "NeuroFMPreTrainedModel", repo: str) -> str:
    """Lines that run as they stand."""
    from ..models.protocol import WindowDecoder  # not above: torch takes seconds to import
    from ..nn.feature_model import FeatureModel

    assert model.contract is not None, "a card is of a checkpoint with its contract"
    lines = ["import neurofm", "", f'model = neurofm.load("{repo}")']
    features = type(model).embed is not FeatureModel.embed
    any_cap = (features and not model.ch_names and not model.n_channels
               and "eeg" in model.contract.held_kinds)
    if isinstance(model, WindowDecoder):
        lines += ["batch = model.example()  # made-up windows of the form that it takes",
                  "print(model.classes, model.predict(batch))"]
        more = f"A recording of yours: `neurofm decode RECORDING --model {repo} --out results`."
    elif model.learns_from == "signals" and any_cap:
        lines += ['raw = neurofm.simulate_raw("eeg19", minutes=0.5)  # or mne.io.read_raw(FILE)',
                  "features = neurofm.embed(raw, model)",
                  "print(features.values.shape)"]
        more = f"Many recordings: `neurofm embed FOLDER --model {repo} --out features`."
    else:
        lines += ["batch = model.example()  # a made-up input of the form that it takes",
                  "print({name: value.shape for name, value in model.answer(batch).items()})"]
        more = f"Of yours: `neurofm {_command(model, features)} --model {repo} --out results`."
    code = "\n".join(lines)
    return f"""## Use

```python
{code}
```

{more} The same model by transformers:

```python
import neurofm  # tells transformers of its models
from transformers import AutoModel

model = AutoModel.from_pretrained("{repo}")
```
"""


def _command(model: "NeuroFMPreTrainedModel", features: bool) -> str:
    if model.learns_from != "signals":
        return "synthesize EEG"
    return "embed RECORDING" if features else "tokenize --data CORPUS"


def _carbon(about: About) -> str:
    if about.hours is None:
        return ""
    kwh = about.hours * about.power_w / 1000
    took = f"{about.hours:.1f} h" if about.hours >= 1 else f"{about.hours * 60:.2g} minutes"
    return (f"## Energy\n\nTraining took {took}; at an assumed {about.power_w:g} W and "
            f"{about.kg_per_kwh:g} kg CO₂ a kWh about {kwh:.2g} kWh and "
            f"{kwh * about.kg_per_kwh:.2g} kg.\n")
