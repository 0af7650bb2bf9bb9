"""What tokenizers and models share: strict configs, strict loading, an input contract.

Built on Hugging Face transformers, so `save_pretrained`, `from_pretrained`, `push_to_hub` and
`AutoModel` work. Unlike there, nothing is forgiven in silence: an unknown config key, a missing,
unexpected or mis-shaped weight is an error that names it.
"""

import dataclasses
import difflib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file, logging

from . import artifacts, limits, weights
from .data import contracts
from .data.batch import Movable
from .data.contract import EEG_MEG, Contract
from .data.contract import FILE_NAME as CONTRACT_FILE
from .nn import example
from .nn.feature_model import FeatureModel
from .nn.trainable import Trainable

# What transformers itself hands to a config besides its declared fields.
_KEYS_OF_TRANSFORMERS = frozenset({
    "_attn_implementation", "_commit_hash", "_name_or_path", "attn_implementation",
    "experts_implementation", "model_type", "name_or_path", "num_labels", "output_attentions",
    "torch_dtype",
})  # fmt: skip

# Keys that never stand in a config.json: transformers fetches and runs what they name, such as a
# kernel of the Hub. A caller may give them to from_pretrained.
_KEYS_OF_CODE = frozenset({
    "_attn_implementation", "_attn_implementation_internal", "_experts_implementation",
    "_experts_implementation_internal", "attn_implementation", "auto_map", "custom_pipelines",
    "experts_implementation", "kernel_config", "quantization_config", "transformers_weights",
    "use_kernels",
})  # fmt: skip
_DTYPES = ("float16", "bfloat16", "float32", "float64")

# Keys in config.json of checkpoints of version 0.1 → today's.
_RENAMED = {"neighbours": "neighbors", "recentred": "recentered"}

# Arguments of from_pretrained that say where files are; the contract is fetched with the same.
_WHERE = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder",
          "token")  # fmt: skip


class NeuroFMConfig(PreTrainedConfig):
    """Base of configs. A subclass names every field in `__init__` with its type and limit
    (`neurofm.limits`, checked before it begins), sets them, checks them across, and passes what it
    was given besides to this `__init__`, which accepts only what transformers writes into
    config.json."""

    def __init_subclass__(cls, *args, **options):
        super().__init_subclass__(*args, **options)
        if "__init__" in vars(cls):
            cls.__init__ = limits.limited_arguments(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, **of_transformers):
        declared = {field.name for field in dataclasses.fields(PreTrainedConfig)}
        own = set(inspect.signature(type(self).__init__).parameters) - {"self", "of_transformers"}
        for old in of_transformers.keys() & _RENAMED.keys():
            if _RENAMED[old] in own:
                setattr(self, _RENAMED[old], of_transformers.pop(old))
        for key in of_transformers:
            if key not in declared | _KEYS_OF_TRANSFORMERS:
                near = difflib.get_close_matches(key, own, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {sorted(own)}"
                raise ValueError(f"{type(self).__name__}: unknown key {key!r}; {hint}")
        super().__init__(**of_transformers)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options):
        """As in transformers, of what stands in a config.json: it names no code.

        Parameters
        ----------
        config_dict
            Names and values.
        options
            Go to transformers.

        Returns
        -------
        NeuroFMConfig
            The config.

        Raises
        ------
        ValueError
            A key is not known, or its value is none.
        """
        _refuse_code(config_dict, cls.__name__)
        try:
            return super().from_dict(config_dict, **options)
        except (TypeError, LookupError, AttributeError, ArithmeticError) as problem:
            raise ValueError(f"{cls.__name__}: config.json holds what no such configuration has: "
                             f"{problem}") from problem

    def to_diff_dict(self) -> dict:
        """What config.json holds: configs inside, too, without what transformers sets anyway."""
        fields = super().to_diff_dict()
        for key, value in vars(self).items():
            if isinstance(value, NeuroFMConfig):
                fields[key] = value.to_diff_dict()
                fields[key].pop("transformers_version", None)
        return fields

    def knowing(self, data: Any, windows: np.ndarray) -> Self:
        """The config with what only the training data knows: subjects, electrodes, regions.

        Parameters
        ----------
        data
            Corpus, TokenSet, Scans or VolumeWindows.
        windows
            Indices of the training windows, `[window]`.

        Returns
        -------
        NeuroFMConfig
            By default itself.

        Raises
        ------
        ValueError
            The model cannot be trained on these data.
        """
        return self

    def require(self, fine: bool, message: str) -> None:
        """Check a setting.

        Parameters
        ----------
        fine
            Whether the setting is fine.
        message
            What was wanted, and what came.

        Raises
        ------
        ValueError
            It is not fine.
        """
        if not fine:
            raise ValueError(f"{type(self).__name__}: {message}")


class NeuroFMPreTrainedModel(Trainable, FeatureModel, PreTrainedModel, ABC):
    """Base of tokenizers and models.

    A subclass says what it reads and what it is bound to by the attributes and properties below;
    commands ask for these and for nothing else.

    Attributes
    ----------
    contract
        The `Contract` of the signals it takes, None before training; saved as
        `preprocessor_config.json` beside the weights.
    left_out
        Names of published tensors that were left out when it was imported.
    remarks
        What a user of published weights must know of their files; set when they are read.
    modality
        Of the contracts whose signals it takes.
    learns_from
        "signals": windows of a corpus (or their tokens); "scans": whole scans of EEG with fMRI;
        "volumes": windows of EEG, each with the volume of fMRI at its end.
    reads_images
        Whether it uses the T1-weighted image that a batch of `Brains` holds.
    needs_tokenizer
        Whether `__init__` takes a trained `tokenizer`: "no", "optional" or "required".
    needs_labels
        Labels, and not signals alone, are learned from: `neurofm pretrain` does not train it.
    """

    config_class: type[PreTrainedConfig] = NeuroFMConfig
    modality: str = EEG_MEG
    learns_from: ClassVar[Literal["signals", "scans", "volumes"]] = "signals"
    reads_images: ClassVar[bool] = False
    needs_tokenizer: ClassVar[Literal["no", "optional", "required"]] = "no"
    needs_labels: ClassVar[bool] = False
    main_input_name = "batch"

    def __init__(self, config: NeuroFMConfig):
        super().__init__(config)
        self.contract: Contract | None = None
        self.left_out: tuple[str, ...] = ()
        self.remarks: tuple[str, ...] = ()

    @property
    def reads_places(self) -> bool:
        """Whether it must know where sensors are."""
        return True

    @property
    def ch_names(self) -> tuple[str, ...]:
        """Names of the channels it is bound to; none = any montage."""
        return ()

    @property
    def n_channels(self) -> int:
        """Number of the channels it is bound to; 0 = any."""
        return len(self.ch_names)

    @property
    def n_times(self) -> int:
        """Samples of the windows it is bound to; 0 = any length."""
        return 0

    @property
    def window_length(self) -> int:
        """Samples that are encoded together: no window should be shorter."""
        return 1

    @abstractmethod
    def answer(self, batch: Any) -> dict[str, Tensor]:
        """Golden answers: what the model gives for a batch, which a loaded checkpoint must give
        again.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        dict[str, Tensor]
            By name.
        """

    def example(self) -> Movable:
        """A made-up batch that the model takes.

        Returns
        -------
        Movable
            Of the kind that the contract describes.
        """
        assert self.contract is not None, "a model without a contract has no example"
        return example.windows(self.contract, self.ch_names, self.n_channels, self.n_times)

    def finish(self, batches: Iterable[Any]) -> str:
        """Called once after training, as a tokenizer needs to order its vocabulary.

        Parameters
        ----------
        batches
            Batches of training windows.

        Returns
        -------
        str
            What came of it; "" = nothing was to be done.
        """
        return ""

    def _init_weights(self, module: nn.Module) -> None:
        """Linear and Embedding as published BrainOmni starts them; other layers start themselves
        as they are made."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def choose_trainable(self) -> None:
        """Freeze what is never trained: transformers' loading makes every parameter trainable
        again, so this is called once more after it."""

    def make_final(self) -> None:
        """Settle what is only looked at because weights may change: none do from here on."""

    def get_input_embeddings(self) -> None:
        """None: no words here. Accelerate asks before it shards a model, and transformers' own
        answer is an error."""
        return None

    def push_to_hub(self, repo_id: str, **options) -> None:
        """Refused: what it would send has no license, ledger and card, and nobody searched it for
        names and secrets.

        Parameters
        ----------
        repo_id
            Repository.
        **options
            Of transformers.

        Raises
        ------
        ValueError
            Always; it says the command that publishes.
        """
        raise ValueError(
            f"publish {type(self).__name__} by its finished folder: neurofm publish FOLDER "
            f"{repo_id} --license LICENSE; push_to_hub would send it without ledger, license and "
            f"card, and without the search for names and secrets")

    def save_pretrained(self, save_directory: str | Path, **options) -> None:
        """As in transformers (safetensors), with the contract. `options` go to transformers."""
        if options.pop("push_to_hub", False):
            self.push_to_hub(options.get("repo_id") or Path(save_directory).name)
        if self.contract is not None and options.get("is_main_process", True):
            Path(save_directory).mkdir(parents=True, exist_ok=True)
            self.contract.save(save_directory)
        with _without_progress_bar():
            super().save_pretrained(save_directory, **options)
        for file in Path(save_directory).glob("*.safetensors"):
            artifacts.share(file)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **options):
        """As in transformers, but only safetensors are read, loading is strict, and a finished
        folder is verified.

        Returns the model in evaluation mode, with its contract if there is one. `options` go to
        transformers.

        Raises:
            ValueError: weights are missing, unexpected or of the wrong shape; all are listed.
        """
        wants_info = options.pop("output_loading_info", False)
        if options.pop("ignore_mismatched_sizes", False):
            raise ValueError(
                f"{cls.__name__} loads strictly: ignore_mismatched_sizes=True is not supported. "
                f"Make the model from a config, then copy the weights you want"
            )
        place = pretrained_model_name_or_path
        if place is not None and artifacts.is_sealed(place):
            artifacts.open_sealed(place)
        where = {name: options[name] for name in _WHERE if name in options}
        options["use_safetensors"] = True
        with _without_progress_bar():
            model, info = super().from_pretrained(
                pretrained_model_name_or_path,
                *model_args,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that all of them can be listed below
                **options,
            )
        weights.refuse_differences(cls.__name__, pretrained_model_name_or_path, info)
        weights.refuse_not_finite(model, pretrained_model_name_or_path)
        model.contract = _find_contract(pretrained_model_name_or_path, where)
        model.choose_trainable()
        return (model, info) if wants_info else model


def _refuse_code(fields: dict[str, Any], name: str) -> None:
    """Raise ValueError where a config.json, or a config inside it, names code."""
    for key, value in fields.items():
        if key in _KEYS_OF_CODE:
            raise ValueError(f"{name}: config.json has {key!r}, which names code to be fetched or "
                             f"run: that is never done; take the key out, or ask for a checkpoint "
                             f"without it")
        if key in ("dtype", "torch_dtype") and value is not None and value not in _DTYPES:
            raise ValueError(f"{name}: wanted {key} in config.json as one of {', '.join(_DTYPES)}, "
                             f"got {value!r}")
        if isinstance(value, dict):
            _refuse_code(value, name)


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Transformers draws a bar of its own for a tenth of a second of work."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _find_contract(path, where: dict) -> Contract | None:
    if path is None:
        return None
    found = cached_file(
        path, CONTRACT_FILE, **where,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    return None if found is None else contracts.load(Path(found).parent)
