"""`neurofm plan` against what training takes."""

import json
from dataclasses import fields

import pytest
import torch
from torch import Tensor
from torch.profiler import profile

from neurofm.cli import main as neurofm
from neurofm.models.flops import counter
from neurofm.pretrain import estimate
from neurofm.pretrain.estimate import GB, Layout, device_of
from neurofm.pretrain.plan import PlanConfig, planned, planned_windows, settings_of
from neurofm.training.needs import Linear, Needs, needs, precision
from tests.support import corpora

TINY = {
    "brain_tokenizer": dict(architecture={"n_filters": 8, "dim": 32, "n_codes": 32}, channels=6,
                            window_s=4.0),
    "brainomni": dict(
        architecture={"dim": 64, "n_heads": 4, "n_blocks": 3, "tokenizer": {
            "n_filters": 4, "dim": 32, "n_codes": 32}}, window_s=6.0),
    "meg_gpt": dict(architecture={"dim": 32, "n_heads": 2, "feedforward_dim": 128, "n_blocks": 2,
                                  "context": 100}, channels=6, window_s=2.0),
    "brainmae": dict(architecture={"dim": 32}, channels=30, window_s=300.0),
}
N = 6  # windows of the measured step


def within(found: float, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize("name", TINY)
def test_plan_of_a_measured_step(name):
    """Parameters exactly; arithmetic, memory that is kept and its peak within 15 %."""
    torch.manual_seed(0)
    run = PlanConfig(model=name, device="a100", **TINY[name])
    plan = planned(run)
    windows, architecture = planned_windows(run, settings_of(run))
    model = run.model_class(architecture).train()
    found = needs(lambda: run.model_class(architecture), windows.batch,
                  lambda: precision("float32", "cpu"))
    assert plan["parameters"] == sum(each.numel() for each in model.parameters())
    assert plan["trained"] == sum(p.numel() for p in model.parameters() if p.requires_grad)

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    batch = windows.batch(N)
    model(batch)[0].backward()  # a quantizer starts, moments are made
    optimizer.step()
    optimizer.zero_grad()
    with counter() as counted, profile(profile_memory=True) as taken:
        model(batch)[0].backward()
    within(found.step_flops.of(N), counted.get_total_flops())
    assert plan["flops_window"] == found.step_flops.each

    parts = estimate.memory(found, Layout("one", 1, N, 1, False))
    moments = sum(each.nbytes for state in optimizer.state.values() for each in state.values())
    within(parts["moments"], moments)
    within(parts["gradients"], sum(p.grad.nbytes for p in model.parameters() if p.grad is not None))
    within(parts["batch"], sum(getattr(batch, each.name).nbytes for each in fields(batch)
                               if isinstance(getattr(batch, each.name), Tensor)))
    peak = peak_bytes(taken)
    print(name, "kept", parts["activations"], "peak of the step", peak)
    within(parts["activations"] + parts["gradients"], peak)


def peak_bytes(taken: profile) -> int:
    """Most bytes that were allocated at once, above those before."""
    now = most = 0
    events = [each for each in taken.profiler.kineto_results.events() if each.name() == "[memory]"]
    for event in sorted(events, key=lambda each: each.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def needs_of(**changed) -> Needs:
    """Of a model with 1 G parameters, and 1 GB of activations a window."""
    of = {"parameters": 10**9, "trained": 10**9, "frozen_bytes": 0,
          "forward_flops": Linear(0.0, 1e12), "step_flops": Linear(0.0, 3e12),
          "activations": Linear(0.0, GB), "checkpointed": Linear(0.0, 0.1 * GB),
          "again_flops": Linear(0.0, 1e12), "largest_block": 10**8, "batch_bytes": Linear(0.0, 0.0),
          "computed": False}
    return Needs(**{**of, **changed})


@pytest.mark.parametrize(("changed", "processes", "windows", "wanted"), [
    ({}, 1, 16, Layout("one", 1, 16, 1, False)),  # 16 GB of parameters and 16 of windows
    ({}, 1, 128, Layout("one", 1, 32, 4, False)),  # 72 GB are there
    ({}, 8, 128, Layout("ddp", 8, 16, 1, False)),
    ({}, 8, 100, Layout("ddp", 8, 13, 1, False)),  # 104 windows can be shared alike
    ({"trained": 5 * 10**9, "parameters": 5 * 10**9}, 8, 128, Layout("fsdp", 8, 16, 1, False)),
    ({"activations": Linear(0.0, 80.0 * GB)}, 1, 16, Layout("one", 1, 16, 1, True)),
])
def test_plan_suggests_what_fits(changed, processes, windows, wanted):
    device = device_of("h100")
    found = estimate.suggested(needs_of(**changed), device, processes, windows)
    assert found == wanted
    assert sum(estimate.memory(needs_of(**changed), found).values()) <= 0.9 * device.memory


def test_bad_input_plan_of_what_does_not_fit():
    # 20 bytes a parameter and 1 GB of a window, where 10 % are left free
    too_large = {"trained": 10**11, "parameters": 10**11}
    with pytest.raises(ValueError, match=r"does not fit: .* needs 2223\.3 GB, h100 has 80 GB"):
        estimate.suggested(needs_of(**too_large, largest_block=0), device_of("h100"), 8, 64)
    with pytest.raises(ValueError, match=r"known are a10, a100, .*give --tflops and --memory_gb"):
        device_of("abacus")
    assert device_of("abacus", 10, 12).memory == 12 * GB


def test_plan_of_hours():
    """0.3 of 989 TFLOP/s, by hand."""
    layout = Layout("ddp", 8, 16, 1, False)
    step = estimate.step_s(needs_of(), layout, device_of("h100"), 0.3)
    assert step == pytest.approx(16 * 3e12 / (0.3 * 989e12))
    again = estimate.step_s(needs_of(), Layout("ddp", 8, 16, 1, True), device_of("h100"), 0.3)
    assert again == pytest.approx(step * 4 / 3)


def test_plan_command(corpus_folder, tmp_path, capsys):
    """As it is typed, of a corpus that is there; seconds as measured here."""
    path = corpora.write_yaml(tmp_path / "run", {
        "model": "brain_tokenizer", "architecture": corpora.TOKENIZER,
        "train": {"steps": 10, "batch_windows": 8}})
    assert neurofm(["plan", f"--config={path}", f"--data={corpus_folder}", "--device=cpu",
                    "--measure=4", f"--out={tmp_path / 'plan.json'}"]) == 0
    said = capsys.readouterr().out
    assert "suggested: one process, 1 cpu, micro-batch 8" in said
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["windows"] == 48
    assert plan["window"].endswith("12 × 128")
    assert plan["utilization_measured"]
    within(plan["hours"], 10 * plan["measured_s"] * 2 / 3600)
    assert plan["storage"]["corpus"] == 48 * 12 * 128 * 4


def test_bad_input_plan_command(tmp_path, capsys):
    for words, wanted in (
        (["--model=meg_gpt", "--window_s=0.1"], "windows have"),
        (["--model=neurobolt"], "name the pairs, --data DIR"),
        (["--model=brainmae", f"--out={tmp_path}"], "out is the JSON file of the plan"),
        (["--model=brainmae", "--utilization=3"], "utilization is a share of the peak"),
        (["--model=brainmae", "--device=abacus"], "known are a10, a100"),
    ):
        try:
            status = neurofm(["plan", *words])
        except SystemExit as stop:
            status = stop.code
        assert status in (1, 2), words
        assert wanted in capsys.readouterr().err
