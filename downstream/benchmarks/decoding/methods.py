"""The methods of a comparison, by name: networks, pretrained or not, automatic decoders, baselines.

    frozen, full, random, …    NETWORKS, on a pretrained model
    auto, auto_classical       AUTOMATIC, as `neurofm finetune` fits by default
    csp_lda, tangent_lr, …     `baselines`: simple methods, and networks of their own
    NAME_recentered            each subject's windows re-centered, without labels
    NAME@MODEL                 the same with another pretrained model, e.g.
                               frozen_recentered@published

Networks and baselines try the same number of settings and take the one that the validation
subjects score best. Automatic decoders choose by folds inside training and validation windows.
"""

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from neurofm.data.contract import Contract
from neurofm.models.decoder import DecoderConfig
from neurofm.models.protocol import BackboneConfig

from ... import baselines

RECENTERED = "_recentered"


@dataclass(frozen=True)
class Network:
    """A method that is a network: what trains, from which weights."""

    about: str = ""  # what it is, in a sentence
    mode: str = "frozen"  # as in `neurofm finetune`
    architecture: dict = field(default_factory=dict)  # fields of DecoderConfig
    random: bool = False  # from random weights, tokenizer included
    # each subject's mean feature is removed, which uses no label but all of a subject's windows
    recentered: bool = False
    model: str = ""  # name of another pretrained model, "" = the one that is evaluated


NETWORKS = {
    "frozen": Network("Linear probe on frozen features, solved."),
    "mlp": Network("Two layers, as published, on frozen features.", architecture={"head": "mlp"}),
    "attentive": Network("Head that pools frozen features by attention.",
                         architecture={"pool": "attention", "head": "linear"}),
    "covariances": Network("Linear probe on frozen features' covariances and the tokens' codes.",
                           architecture={"pool": "covariances"}),
    "covariance": Network("Linear probe on frozen features' covariances.",
                          architecture={"pool": "covariance"}),
    "activity": Network("Linear probe on the activity of regions (fMRI).",
                        architecture={"pool": "activity"}),
    "mean_pool": Network("Mean of frozen features and two layers, both as published.",
                         architecture={"pool": "mean", "head": "mlp"}),
    "full": Network("The transformer trains along with the published head.", "full",
                    {"head": "mlp"}),
    "lora": Network("Low-rank adapters train along with the published head.", "lora",
                    {"head": "mlp"}),
    "dora": Network("Low-rank adapters of directions (DoRA) train along with the published head.",
                    "dora", {"head": "mlp"}),
    "random": Network("full, from random weights.", "full", {"head": "mlp"}, random=True),
    "random_frozen": Network("frozen, from random weights.", random=True),
    "random_activity": Network("activity, from random weights.",
                               architecture={"pool": "activity"}, random=True),
}
AUTOMATIC = {
    "auto": "Classical views and the pretrained model's features (with a model), weighed by folds "
            "over people.",
    "auto_classical": "auto without the pretrained model's features.",
}
# What a head may try besides the run's own recipe, the first `tuning` of them; a linear one, which
# is solved, tries penalties; and what trains along: factors on the learning rate.
HEAD_SETTINGS: tuple[dict[str, float], ...] = (
    {}, {"lr": 3e-3}, {"lr": 3e-4, "weight_decay": 0.05}, {"dropout": 0.5},
    {"lr": 1e-4, "weight_decay": 0.05}, {"lr": 3e-3, "dropout": 0.5})
LINEAR_SETTINGS = ({}, *({"weight_decay": penalty} for penalty in (10.0, 0.1, 100.0, 0.01, 1e-3)))
FULL_SETTINGS: tuple[dict[str, float], ...] = (
    {}, {"lr_factor": 3.0}, {"lr_factor": 0.3}, {"layer_decay": 0.5},
    {"lr_factor": 10.0}, {"layer_decay": 1.0})


def choices() -> list[str]:
    """All methods, without the _recentered ones."""
    return [*NETWORKS, *AUTOMATIC,
            *(name for name in baselines.names() if not name.endswith(RECENTERED))]


def is_network(name: str) -> bool:
    """True for networks of ours, False for baselines."""
    return name.partition("@")[0].removesuffix(RECENTERED) in NETWORKS


def is_automatic(name: str) -> bool:
    """True for automatic decoders."""
    return name.partition("@")[0] in AUTOMATIC


def is_baseline(name: str) -> bool:
    """True for baselines."""
    return not is_network(name) and not is_automatic(name)


def automatic_model(name: str, models: Collection[str]) -> str | None:
    """Name of the pretrained model in an automatic decoder, None = none. models: names of those
    that there are."""
    base, _, model = name.partition("@")
    return model if base == "auto" and model in models else None


def network(name: str) -> Network:
    """The network of that name."""
    base, _, model = name.partition("@")
    found = NETWORKS[base.removesuffix(RECENTERED)]
    return replace(found, recentered=base.endswith(RECENTERED), model=model)


def settings(
    what: Network, tuning: int, architecture: dict, backbone: BackboneConfig
) -> tuple[dict, ...]:
    """The settings that a network tries. architecture: fields of DecoderConfig for all networks.
    backbone: config of the pretrained model."""
    made = DecoderConfig(**{"backbone": backbone, **architecture, **what.architecture})
    head = LINEAR_SETTINGS if made.solved else HEAD_SETTINGS
    return (head if what.mode == "frozen" else FULL_SETTINGS)[:tuning]


def is_solved(name: str, architecture: dict) -> bool:
    """Whether a network or baseline has one solution, so that it needs no windows to stop by.
    architecture: fields of DecoderConfig for all networks."""
    if not is_network(name):
        return not baselines.find(name).DRAWS
    what = network(name)
    made = {"head": "linear", "pool": ""} | architecture | what.architecture
    return what.mode == "frozen" and made["head"] == "linear" and made["pool"] != "attention"


def check(names: list[str], models: list[str], number: bool, contract: Contract) -> None:
    """Raise ValueError for a method that there is not, or not for this kind of label or signal.

    models: names of the pretrained models, "" the one evaluated. number: labels are numbers.
    contract: of the corpus.
    """
    known = [*NETWORKS, *AUTOMATIC, *baselines.names()]
    unknown = [name for name in names
               if is_baseline(name) and name not in known
               and name.removesuffix(RECENTERED) not in baselines.names()]
    if unknown or not names:
        plain = [name for name in known if not name.endswith(RECENTERED)]
        near = difflib.get_close_matches((unknown or [""])[0], known, n=1)
        raise ValueError(f"methods: unknown {unknown}; there are {', '.join(plain)}, each also "
                         f"with {RECENTERED} after it (but for {' and '.join(AUTOMATIC)})"
                         + (f"; did you mean {near[0]!r}?" if near else ""))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"methods: named twice: {', '.join(twice)}")
    for name in names:
        model = name.partition("@")[2]
        if is_network(name) and not model and "" not in models:
            raise ValueError(f"methods: {name} is a network of a pretrained model, and none is "
                             f"given: name it, --model=FOLDER, or ask for others: "
                             f"{', '.join(fitting(number, contract))}")
        if model and model not in models:
            turned = f"{name.partition('@')[0]}{RECENTERED}@{model.removesuffix(RECENTERED)}"
            hint = f"or write {turned}" if model.endswith(RECENTERED) else "or leave it out"
            raise ValueError(f"methods: {name} wants a model named {model}; name it, e.g. "
                             f"--models.{model}=FOLDER, {hint}")
        if name.startswith("auto_classical@"):
            raise ValueError(f"methods: {name}: auto_classical is without a pretrained model; name "
                             f"it without @{model}")
        if is_baseline(name) and number != baselines.find(name).REGRESSION:
            kind = "a number" if number else "classes"
            raise ValueError(f"methods: {name} does not predict {kind}; these do: "
                             f"{', '.join(_simple(number, contract))}, auto")
        if is_baseline(name) and baselines.find(name).SEES not in contract.VIEWS:
            raise ValueError(f"methods: {name} does not read {contract.name}; these do: "
                             f"{', '.join(_simple(number, contract))}, auto")


def check_pools(
    names: list[str], pools: dict[str, tuple[str, ...]], architecture: dict
) -> None:
    """Raise ValueError for networks with a pool that their model cannot make.

    pools: those of each model, by its name. architecture: fields of DecoderConfig for all.
    """
    for name in filter(is_network, names):
        what = network(name)
        pool = (architecture | what.architecture).get("pool", "")
        if pool and pool not in pools[what.model]:
            raise ValueError(f"methods: {name} pools by {pool!r}, which this model cannot; it can "
                             f"by {', '.join(pools[what.model])}: leave {name} out")


def _simple(number: bool, contract: Contract) -> list[str]:
    """Baselines for this kind of label and signal."""
    return [one for one in baselines.names() if number == baselines.find(one).REGRESSION
            and baselines.find(one).SEES in contract.VIEWS]


def fitting(number: bool, contract: Contract, pools: tuple[str, ...] = ()) -> list[str]:
    """All methods for this kind of label and signal. pools: of the model; none = without a model,
    no networks."""
    networks = [*NETWORKS, *(f"{name}{RECENTERED}" for name in ("frozen", "full", "random_frozen"))]
    networks = [name for name in networks
                if network(name).architecture.get("pool", "") in ("", *pools)]
    simple = _simple(number, contract)
    return [*networks, *AUTOMATIC, *simple] if pools else ["auto", *simple]
