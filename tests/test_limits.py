"""Bad values are refused when a config is made: every field of every command, tokenizer and model.

Each numeric field is given −1, 0, infinity, NaN, a text, true and 10³⁰; each other one what is not
of its type. What a field may have of these stands below.
"""

import dataclasses
import inspect
import math
import re
import typing
from types import NoneType
from typing import Any, Literal

import jaxtyping
import pytest

from neurofm import cli, models
from neurofm.data.contract import InputContract
from neurofm.models.decoder import DecoderConfig
from tests.support.every_command import commands

# What a command cannot be made without.
NEEDED: dict[str, dict[str, Any]] = {
    "data": "corpus", "out": "out", "model": "model", "paths": ["x.edf"], "source": "folder",
    "repo": "org/name", "family": "labram", "generated": {"ours": "folder"},
    "sites": {"a": "corpora/a", "b": "corpora/b"}, "name": "clinic", "server": "server.org:9092",
    "certificate": "ca.crt", "key": "key",
}
OF_COMMAND = {
    "IngestConfig": {"paths": ["x.edf"]}, "PretrainConfig": {"model": "brain_tokenizer"},
    "PlanConfig": {"model": "brain_tokenizer"},
    "StreamConfig": {"replay": "x.fif"}, "SimulateConfig": {"bold": True},
}
# Fields that may be negative: a fold counted from the last, times before an event or a trigger.
MAY_BE_NEGATIVE = {"fold", "tmin_s", "delay_s"}
# Fields whose 0 means none, off, the default, all, or a first one.
MAY_BE_ZERO = {
    # of commands
    "shard_mb", "seed", "fold", "workers", "weight_decay", "clip_norm", "validate_every", "warmup",
    "final_lr", "beta1", "beta2", "augment_share", "augment_copies", "max_bad", "tmin_s", "delay_s",
    "sfreq",
    "t_r", "first_subject", "devices_per_subject", "reactivity", "noise", "blinks_per_minute",
    "comodulation", "bcg_uv", "motion_per_minute", "gradient_residue_uv", "gap_s", "people",
    "burn_in_s", "abstain_below", "stop_after", "ridge", "proximal", "trimmed", "malicious",
    "largest_change", "spikes",
    # of models
    "dropout", "replaced", "neighbors", "overlap", "revive_below", "ema_decay", "quantize_from",
    "commitment", "phase", "hidden", "n_regions", "n_static", "n_adaptive", "n_blocks",
    "n_decoder", "n_factors", "hidden_weight", "n_codes", "predicted", "n_channels", "n_sessions",
    "token_dim", "position_dim", "channel_dim", "session_dim", "label_smoothing",
    "calibration_windows", "layer_scale", "drop_path", "spectral_dropout", "n_used", "margin",
}
# (class, field): where the same name has no 0.
# The same of one config alone.
ZERO_HERE = {("PlanConfig", name) for name in ("channels", "window_s", "tflops", "memory_gb",
                                               "measure")} | {
    ("ConsolidateConfig", "step"), ("StackedConfig", "n_times"), ("T1Contract", "min_match")} | {
    ("BrainRule", name) for name in ("bias", "ventricles_mm", "size", "coupling", "without_t1",
                                     "without_fmri")}
NEVER_ZERO = {("InputContract", "sfreq"), ("FLEEGConfig", "sfreq"), ("BrainOmniConfig", "n_blocks"),
              ("NeuroBOLTSequenceConfig", "sfreq"), ("BrainMAEConfig", "t_r"),
              ("MEGGPTConfig", "n_blocks"), ("LaBraMConfig", "n_blocks"),
              ("NeuroBOLTConfig", "n_blocks"), ("BrainTokenizerConfig", "n_codes")}


@pytest.fixture(autouse=True)
def _no_other_checks():
    """Types are checked by the configs themselves, and not by what checks shapes in tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def inside(config: type) -> list[type]:
    """A dataclass and those in its fields."""
    found = [config]
    for kind in typing.get_type_hints(config).values():
        for each in (kind, *typing.get_args(kind)):
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                found += inside(each)
    return found


@pytest.fixture(scope="module")
def configs(repo) -> dict[str, type]:
    """Name → class, of the configs of all commands and those in them."""
    asked = [command.config for each in commands(repo).values() for command in each]
    return {one.__name__: one for config in asked for one in inside(config)}


def made(config: type, **fields):
    """A config with the least that it needs."""
    needed = {field.name: NEEDED[field.name] for field in dataclasses.fields(config)
              if field.default is dataclasses.MISSING
              and field.default_factory is dataclasses.MISSING}
    return config(**{**needed, **OF_COMMAND.get(config.__name__, {}), **fields})


def architectures() -> dict[str, type]:
    found = {models.find(name).config_class for name in models.names()} | {DecoderConfig}
    return {each.__name__: each for each in found}


def wrong_values(cls: str, name: str, kind: Any) -> list[Any]:
    """What a field of this type cannot have."""
    kinds = {each for each in (typing.get_args(kind) if NoneType in typing.get_args(kind)
                               else (kind,)) if each is not NoneType}
    none = [] if NoneType in typing.get_args(kind) or kind is Any else [None]
    if kinds & {int, float}:
        bad = [math.inf, -math.inf, math.nan, "2", "", True, [1], 10**30, -10**30]
        bad += [] if name in MAY_BE_NEGATIVE else [-1]
        if ((name not in MAY_BE_ZERO and (cls, name) not in ZERO_HERE)
                or (cls, name) in NEVER_ZERO):
            bad.append(0)
        return bad + none + ([1.5] if float not in kinds else [])
    origins = {typing.get_origin(each) or each for each in kinds}
    if Literal in origins:
        return ["nonsense", 1, *none]
    if bool in kinds:
        return ["yes", 1, *none]
    if str in kinds:
        return [1, True, ["x"], *none]
    if dict in origins:
        return ["x", 1, ["x"], *none]
    if origins & {list, tuple} or any(str(each).endswith("Sequence'>") for each in origins):
        of = {inner for each in kinds for inner in typing.get_args(each)} - {...}
        numbers = [[math.nan], [math.inf], ["2"], [True], [-10**30], [10**30]]
        return ["x", 1, *none, *(numbers if of and of <= {int, float} else [])]
    return [] if kind is Any else [*none, 1]


def check(make, cls: str, name: str, kind: Any, faults: list[str]) -> None:
    for value in wrong_values(cls, name, kind):
        try:
            make(**{name: value})
        except ValueError as problem:
            said = str(problem)
            if name not in said or not any(word in said for word in ("got", "give ")):
                faults.append(f"{cls}.{name} = {value!r}: {said}")
        except Exception as problem:  # collected, so that all are told at once
            faults.append(f"{cls}.{name} = {value!r}: {type(problem).__name__}: {problem}")
        else:
            faults.append(f"{cls}.{name} = {value!r} is taken")


def test_bad_input_of_every_field_of_every_command(configs):
    faults: list[str] = []
    assert len(configs) >= 40
    for cls, config in configs.items():
        kinds = typing.get_type_hints(config)
        made(config)
        for field in dataclasses.fields(config):
            check(lambda config=config, **fields: made(config, **fields), cls, field.name,
                  kinds[field.name], faults)
    assert not faults, "\n".join(faults)


def test_bad_input_of_every_field_of_every_model():
    faults: list[str] = []
    for cls, config in architectures().items():
        for name, parameter in inspect.signature(config.__init__).parameters.items():
            if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                check(config, cls, name, parameter.annotation, faults)
    assert not faults, "\n".join(faults)


def test_bad_input_empty_names(configs):
    """A text is empty only where that is its default; no name in a list or dict is."""
    taken = []
    for cls, config in configs.items():
        kinds = typing.get_type_hints(config)
        for field in dataclasses.fields(config):
            kind, empty = kinds[field.name], {str: "", list[str]: [""], dict[str, str]: {"": "x"}}
            if kind not in empty or field.default == "":
                continue
            try:
                made(config, **{field.name: empty[kind]})
            except ValueError:
                continue
            taken.append(f"{cls}.{field.name}")
    # Events without a name; no trigger, where t_r says when volumes are.
    assert sorted(taken) == ["LabelRule.mapping", "SynthesizeConfig.trigger"]


@pytest.mark.parametrize(("fields", "told"), [
    ({"sfreq": math.inf}, "contract.sfreq must be a finite number, got inf"),
    ({"window_s": 0.001}, "contract.window_s must be two samples or more"),
    ({"max_bad": 2}, r"contract.max_bad must be in [0, 1], got 2"),
    ({"amplitude_uv": (5, 1)}, "contract.amplitude_uv must be [lowest, highest], ascending"),
    ({"amplitude_uv": (5,)}, "contract.amplitude_uv: wanted 2 values, got [5]"),
    ({"stride_s": 1e-6}, "contract.stride_s must be a sample or more"),
    ({"notch_hz": (50, "60")}, "contract.notch_hz[1]: wanted a number, got '60'"),
])
def test_bad_input_contract_says_what_is_wanted(fields, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        InputContract(**fields)


@pytest.mark.parametrize(("architecture", "told"), [
    ("{n_heads: two}", "BrainTokenizerConfig: n_heads: wanted a whole number, got 'two'"),
    ("{dim: -4}", "BrainTokenizerConfig: dim must be at least 1, got -4"),
    ("{dim: 0}", "BrainTokenizerConfig: dim must be at least 1, got 0"),
    ("{ratios: 8}", "BrainTokenizerConfig: ratios: wanted a list, got 8"),
    ("{dropout: .inf}", "BrainTokenizerConfig: dropout must be a finite number, got inf"),
])
def test_bad_input_architecture_on_the_command_line(architecture, told, capsys, tmp_path):
    with pytest.raises(SystemExit) as refused:
        cli.main(["pretrain", "--model=brain_tokenizer", f"--data={tmp_path}", "--out=out",
                  f"--architecture={architecture}"])
    assert refused.value.code == 2
    assert told in capsys.readouterr().err
