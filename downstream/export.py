"""Export a decoder or an encoder as one file that needs only torch.

    neurofm export runs/decoder --out deployed/

    deployed/model.pt2      torch.export: one window at a time, of any number of channels
    deployed/export.json    names, shapes and units of inputs and outputs, and the input contract
    deployed/golden.safetensors   inputs and outputs to try it with

    model = torch.export.load("model.pt2").module()
    answer = model(signal, geometry, kind, valid)

A decoder that re-centers takes the person's mean besides, and gives what that is the mean of:

    answer, features = model(signal, geometry, kind, valid, center)

What goes in is a standardized window, as `neurofm.standardize` and `Corpus.batch` make it. The file
is compared with the model on several numbers of channels before it is sealed.
"""

import copy
import warnings
from dataclasses import dataclass

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofm import artifacts, checkpoints
from neurofm.data.batch import Batch
from neurofm.data.sensors import KINDS
from neurofm.limits import Count, limited
from neurofm.models.protocol import Backbone, WindowDecoder
from neurofm.run import Command, Job, Made

TOLERANCE = 1e-4
CHANNELS = (2, 19, 64)  # that an exported model of any montage is tried with
INPUTS = ("signal", "geometry", "kind", "valid")
CENTER = "center"  # one more, of a decoder that re-centers


@dataclass
@limited
class ExportConfig:
    """Export a model as one file.

    Parameters
    ----------
    model
        Checkpoint of a decoder, or of a model with features.
    out
        Folder of the results.
    max_channels
        Maximum number of channels of a recording.
    """

    model: str
    out: str
    max_channels: Count = 512

    def __post_init__(self):
        if self.max_channels < max(CHANNELS):
            raise ValueError(f"max_channels must be at least {max(CHANNELS)}, got "
                             f"{self.max_channels}")


class Answers(nn.Module):
    """A model with tensors in and a tensor out."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(
        self, signal: Tensor, geometry: Tensor, kind: Tensor, valid: Tensor,
        center: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Probabilities [batch, class], a number [batch, 1], or features [batch, feature]; with a
        center [feature], what the mean over windows of a person is."""
        batch = Batch(signal, geometry, kind, valid)
        if not isinstance(self.model, WindowDecoder):
            return self.model.pooled(batch, self.model.config.pools[0])
        pooled = self.model.pool(batch)
        answer = self.model.name(pooled, center)
        return answer if center is None else (answer, pooled)


def export(run: ExportConfig, job: Job) -> Made:
    """Export the model and compare the file with it."""
    out = job.out
    model = checkpoints.load_kind(run.model, Backbone | WindowDecoder,
                                  "a decoder or a model with features")
    if model.contract is None or model.contract.window_samples is None:
        raise ValueError(f"{run.model}: is of fMRI, whose scans have any length and repetition "
                         f"time; only models of EEG and MEG are exported")
    model = _frozen(model)
    wrapped = Answers(model).eval()
    program = _exported(wrapped, run, model)
    torch.export.save(program, out / "model.pt2")
    loaded, off = torch.export.load(out / "model.pt2").module(), 0.0
    for n_channels in _tried(model):
        inputs = _inputs(model, n_channels)
        with torch.no_grad():
            found = zip(_outputs(wrapped, inputs), _outputs(loaded, inputs), strict=True)
        off = max(off, *((one - two).abs().max().item() for one, two in found))
        if not off <= TOLERANCE:
            raise ValueError(f"{out / 'model.pt2'}: with {n_channels} channels it is off by "
                             f"{off:.2g}: this torch ({torch.__version__}) does not export the "
                             f"model rightly")
    inputs = _inputs(model, _tried(model)[0])
    names = (*INPUTS, CENTER)[: len(inputs)]
    with torch.no_grad():
        outputs = zip(("output", "features"), _outputs(wrapped, inputs), strict=False)
        save_file({**{f"input.{name}": value.contiguous() for name, value in
                      zip(names, inputs, strict=True)},
                   **{name: value.contiguous() for name, value in outputs}},
                  out / "golden.safetensors")
    artifacts.share(out / "golden.safetensors")
    artifacts.write_json(out / "export.json", _about(model, inputs, run))
    tried = ", ".join(map(str, _tried(model)))
    size = (out / "model.pt2").stat().st_size
    return Made(["model.pt2", "export.json", "golden.safetensors"], said=[
        f"{out / 'model.pt2'}: {size / 1e6:.1f} MB; compared with {tried} channels: off by "
        f"{off:.1e} at most"])


COMMAND = Command("export", ExportConfig, export, makes="results", models=("model",),
                  positional="model", fresh=True)
main = COMMAND


def _frozen(model: nn.Module) -> nn.Module:
    """A copy whose counters and switches are plain numbers: tensors that decide the way through the
    model cannot be exported."""
    model = copy.deepcopy(model).eval()
    model.make_final()
    for module in model.modules():
        for name, value in list(module._buffers.items()):
            if value is not None and value.ndim == 0 and not value.is_floating_point():
                del module._buffers[name]
                setattr(module, name, value.item())
    return model


def _exported(wrapped: nn.Module, run: ExportConfig, model):
    """Raises ValueError where torch cannot."""
    channels = torch.export.Dim("channels", min=2, max=run.max_channels)
    inputs = _inputs(model, _tried(model)[-1])
    free = None if _bound_to(model) else (
        *({1: channels},) * len(INPUTS), *(None,) * (len(inputs) - len(INPUTS)))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*were assigned during export.*")
            return torch.export.export(wrapped, inputs, dynamic_shapes=free, strict=False)
    except (RuntimeError, torch._dynamo.exc.UserError) as problem:
        raise ValueError(f"torch {torch.__version__} cannot export a {type(model).__name__}: "
                         f"{str(problem).splitlines()[0]}") from problem


def _bound_to(model) -> tuple[str, ...]:
    """Names of the channels that a model is bound to; none = any montage."""
    return model.ch_names


def _tried(model) -> tuple[int, ...]:
    """Numbers of channels to compare with."""
    return (len(_bound_to(model)),) if _bound_to(model) else CHANNELS


def _inputs(model, n_channels: int) -> tuple[Tensor, ...]:
    """A made-up window of so many channels."""
    plain = model.example()
    rng = torch.Generator().manual_seed(n_channels)
    n_times = plain.signal.shape[-1]
    signal = torch.randn(1, n_channels, n_times, generator=rng)
    rows = torch.arange(n_channels) % plain.geometry.shape[1]
    moved = 0.05 * torch.randn(n_channels, 3, generator=rng)
    geometry = plain.geometry[0, rows].clone()
    geometry[:, :3] += moved * geometry[:, :3].norm(dim=-1, keepdim=True)
    window = (signal, geometry[None], plain.kind[:1, rows],
              torch.ones(1, n_channels, dtype=torch.bool))
    return (*window, model.center.clone()) if _recenters(model) else window


def _recenters(model) -> bool:
    return isinstance(model, WindowDecoder) and model.recentered


def _outputs(program, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    found = program(*inputs)
    return found if isinstance(found, tuple) else (found,)


def _about(model, inputs: tuple[Tensor, ...], run: ExportConfig) -> dict:
    shapes = {
        "signal": f"float32 [1, channel, {inputs[0].shape[-1]}], standardized as the contract says",
        "geometry": "float32 [1, channel, 6], places and directions as Corpus.batch gives them",
        "kind": "int64 [1, channel], index into kinds", "valid": "bool [1, channel]"}
    if _recenters(model):
        shapes[CENTER] = (f"float32 [{len(inputs[-1])}], mean of the second output over windows of "
                          f"the person, of all classes; at first input.{CENTER} of "
                          f"golden.safetensors, the average training subject")
    classes = model.classes if isinstance(model, WindowDecoder) else ()
    return {"inputs": shapes, "outputs": list(classes) or "features",
            "channels": list(_bound_to(model)) or f"2 to {run.max_channels}",
            "kinds": list(KINDS),
            "sfreq": model.contract.sfreq, "contract": model.contract.to_dict()}
