"""Size and work of each model, as `sizes.json` beside this file: python docs/models/measure.py

Parameters are those of the network alone; a tokenizer inside is counted in its own row. FLOPs are
of a forward pass for one window without gradients: matrix products, convolutions and attention as
torch counts them (a multiplication and an addition are two), recurrent layers by their matrices.
"""

import json
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import neurofm
from neurofm.nn import example

FILE = Path(__file__).with_name("sizes.json")


def measured(work: bool = True) -> list[dict]:
    """A row a network. work: FLOPs too, which takes a minute."""
    torch.manual_seed(0)
    sources = neurofm.InputContract()
    rows = []

    def add(name: str, model, windows: str, batch, call, inside: nn.Module | None = None) -> None:
        own = sum(one.numel() for one in model.parameters())
        own -= sum(one.numel() for one in inside.parameters()) if inside is not None else 0
        rows.append({"network": name, "parameters": own, "window": windows,
                     "flops": flops(model.eval(), batch, call) if work else 0})

    def of_contract(contract, **wanted):
        return one_window(example.windows(contract, **wanted))

    for name, config in (("BrainTokenizer, published", neurofm.BrainTokenizerConfig()),
                         ("BrainTokenizer, lead field", neurofm.BrainTokenizerConfig(
                             spatial="leadfield"))):
        tokenizer = neurofm.BrainTokenizer(config)
        add(name, tokenizer, "19 EEG, 10 s at 256 Hz", of_contract(sources),
            lambda model, batch: model.encode(batch))
    tokenizer = neurofm.BrainTokenizer(neurofm.BrainTokenizerConfig()).eval()
    with torch.no_grad():
        tokens = tokenizer.encode(of_contract(sources.with_(window_s=30.0)))
    for name, config in (("BrainOmni tiny", neurofm.BrainOmniConfig()),
                         ("BrainOmni base", neurofm.BrainOmniConfig.base())):
        model = neurofm.BrainOmni(config, tokenizer)
        add(name, model, "16 sources, 30 s of tokens", tokens,
            lambda model, batch: model.embed(batch), model.tokenizer)
    samples = sources.with_(sfreq=250.0, window_s=4.0, kinds=("roi",), reference="none",
                            notch_hz=(), lowpass_hz=100.0, scale="recording_std")
    ephys = neurofm.EphysTokenizer(neurofm.EphysTokenizerConfig()).eval()
    add("EphysTokenizer, released", ephys, "52 parcels, 4 s at 250 Hz",
        of_contract(samples, n_channels=52), lambda model, batch: model.encode(batch))
    gpt = neurofm.MEGGPT(neurofm.MEGGPTConfig.released(), ephys)
    short = of_contract(samples.with_(window_s=0.4), n_channels=52)
    add("MEG-GPT, released plan", gpt, "52 parcels, 100 samples", short,
        lambda model, batch: model.embed(batch), gpt.tokenizer)
    rows[-1]["flops"] -= work and flops(ephys, short, lambda model, batch: model.encode(batch))
    labram = sources.with_(sfreq=200.0, lowpass_hz=75.0, window_s=4.0)
    add("LaBraM-base", neurofm.LaBraM(neurofm.LaBraMConfig()), "19 EEG, 4 s at 200 Hz",
        of_contract(labram), lambda model, batch: model.embed(batch))
    names = tuple(one for one in example._CAP)
    add("NeuroBOLT, 64 regions",
        neurofm.NeuroBOLT(neurofm.NeuroBOLTConfig(channels=names)), "19 EEG, 16 s at 200 Hz",
        of_contract(labram.with_(window_s=16.0), names=names),
        lambda model, batch: model.predict(batch))
    scans = neurofm.FMRIContract()
    for name, config in (("BrainMAE, paper's layout", neurofm.BrainMAEConfig.paper(n_regions=24)),
                         ("BrainMAE, ours", neurofm.BrainMAEConfig())):
        add(name, neurofm.BrainMAE(config), "24 regions, 40 volumes of 2 s", of_contract(scans),
            lambda model, batch: model.embed(batch))
    fleeg = neurofm.FLEEG(neurofm.FLEEGConfig(ch_names=names, n_times=1000, sfreq=250.0))
    add("FLEEG", fleeg, "19 EEG, 4 s at 250 Hz",
        of_contract(sources.with_(sfreq=250.0, window_s=4.0), names=names),
        lambda model, batch: model.predict(batch))
    return rows


def one_window(batch):
    """The first of an example's windows."""
    return type(batch)(**{name: value if value is None else value[:1]
                          for name, value in vars(batch).items()})


@torch.no_grad()
def flops(model: nn.Module, batch, call) -> int:
    """Of `call(model, batch)`."""
    model.requires_grad_(False)  # torch 2.13 trips over a parameter that a layer returns as it is
    recurrent, hooks = [0], []

    def count(layer: nn.RNNBase, inputs: tuple, _outputs) -> None:
        x = inputs[0]
        gates = {"LSTM": 4, "GRU": 3}[type(layer).__name__]
        steps = x.numel() // x.shape[-1]
        for depth in range(layer.num_layers):
            width = layer.input_size if depth == 0 else layer.hidden_size
            recurrent[0] += 2 * steps * gates * layer.hidden_size * (width + layer.hidden_size)

    for layer in model.modules():
        if isinstance(layer, nn.RNNBase):
            hooks.append(layer.register_forward_hook(count))
    with FlopCounterMode(display=False) as counter:
        call(model, batch)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() + recurrent[0]


if __name__ == "__main__":
    FILE.write_text(json.dumps(measured(), indent=1) + "\n")
    print(FILE.read_text())
