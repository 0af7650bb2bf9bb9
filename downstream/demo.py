"""Run all stages once on simulated recordings or on yours.

    neurofm demo --out demo                 simulated people; one device is never trained on
    neurofm demo --out demo --data folder   your files (EEG, MEG, BIDS or not), up to the model

Each line shown is a command that can be typed by itself; a command that has finished is not run
again. Takes about five minutes on two cores.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neurofm import config

TRAIN_DEVICES = "[eeg19,mag102,axial100]"
UNSEEN_DEVICE = "eeg32"
SPLITS = ["--splits.validation=[sub-001,sub-002,sub-003]",
          "--splits.test=[sub-004,sub-005,sub-006,sub-007]"]


@dataclass
class DemoConfig:
    """Run all stages on simulated recordings or on yours.

    Parameters
    ----------
    out
        Folder of all results.
    data
        Your files or folders, instead of the simulation.
    subjects
        Number of simulated subjects; the first seven are for validation and test.
    tokenizer_steps
        Training steps of the tokenizer.
    model_steps
        Training steps of the model.
    """

    out: str = "demo"
    data: str | None = None
    subjects: int = 22
    tokenizer_steps: int = 200
    model_steps: int = 120


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(DemoConfig, argv, command="demo")
    began = time.perf_counter()
    status = on_data(run) if run.data else on_simulation(run)
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    return status


def on_simulation(run: DemoConfig) -> int:
    """Simulate, then every stage to a decoder of people and a device it has never seen."""
    out = Path(run.out)
    unseen = out / "unseen_device"
    step("simulate", f"--out={out / 'archive'}", f"--subjects={run.subjects}", "--minutes=3",
         f"--devices={TRAIN_DEVICES}")
    step("simulate", f"--out={unseen / 'archive'}", "--subjects=4", "--first_subject=101",
         "--minutes=3", "--always=[]", f"--devices=[{UNSEEN_DEVICE}]")
    windows = ["--contract.window_s=8", *SPLITS]
    step("ingest", out / "archive", f"--out={out / 'corpus'}", *windows)
    step("ingest", unseen / "archive", f"--out={unseen / 'corpus'}", "--contract.window_s=8",
         "--splits.fractions=[0,0,1]")
    learn(run, out / "corpus")
    step("evaluate reconstruction", f"--data={unseen / 'corpus'}", f"--model={out / 'tokenizer'}",
         f"--out={unseen / 'reconstruction'}")
    step("ingest", out / "archive", f"--out={out / 'trials'}", "--contract.window_s=4",
         "--label.source=event", '--label.mapping={"left": "left", "right": "right"}', *SPLITS)
    step("finetune", f"--data={out / 'trials'}", f"--model={out / 'brainomni'}",
         f"--out={out / 'decoder'}", "--architecture.recentered=true")
    step("evaluate decoding", f"--data={out / 'trials'}", f"--model={out / 'brainomni'}",
         "--methods=[frozen,frozen_recentered,csp_lda]", "--tuning=2", "--only.session=eeg64",
         f"--out={out / 'evaluation'}")
    recording = sorted((out / "archive" / "sub-004").rglob("*ses-eeg64*.fif"))[0]
    step("decode", recording, f"--model={out / 'decoder'}", "--events=[left,right]",
         f"--out={out / 'decoded'}")
    summary(out, unseen)
    return 0


def on_data(run: DemoConfig) -> int:
    """Ingest, tokenizer, tokens and model on the user's own files; no labels are assumed."""
    out = Path(run.out)
    step("ingest", run.data, f"--out={out / 'corpus'}", "--contract.window_s=8",
         "--splits.fractions=[0.7,0.1,0.2]", allowed=(0, 3))
    learn(run, out / "corpus")
    summary(out, None)
    return 0


def learn(run: DemoConfig, corpus: Path) -> None:
    """Corpus → tokenizer, its reconstruction of unseen people, tokens, model."""
    out = Path(run.out)
    step("pretrain", f"--data={corpus}", f"--out={out / 'tokenizer'}", "--model=brain_tokenizer",
         '--architecture={"spatial": "leadfield", "n_filters": 12, "dim": 48, '
         '"quantize_from": 0.3}',
         f"--train.steps={run.tokenizer_steps}", "--train.batch_windows=8", "--train.lr=4e-3",
         "--train.beta2=0.99")
    step("evaluate reconstruction", f"--data={corpus}", f"--model={out / 'tokenizer'}",
         f"--out={out / 'reconstruction'}")
    step("tokenize", f"--data={corpus}", f"--model={out / 'tokenizer'}",
         f"--out={out / 'tokens'}")
    step("pretrain", f"--data={out / 'tokens'}", f"--out={out / 'brainomni'}",
         "--model=brainomni", f"--tokenizer={out / 'tokenizer'}",
         '--architecture={"dim": 96, "n_heads": 8, "n_blocks": 4, "scaled_codes": true, '
         '"neighbors": 5, "head": "codebook"}',
         f"--train.steps={run.model_steps}", "--train.batch_windows=8", "--train.lr=4e-3")


def step(command: str, *words, allowed: tuple[int, ...] = (0,)) -> None:
    """Run one public command and show it; stop the demo where it fails."""
    said = [str(word) for word in words]
    shown = " ".join(f"'{word}'" if set(word) & set('[]{}" ') else word for word in said)
    print(f"\n\033[1m$ neurofm {command} {shown}\033[0m", flush=True)
    status = subprocess.run(
        [sys.executable, "-m", "neurofm.cli", *command.split(), *said], check=False
    ).returncode
    if status not in allowed:
        raise SystemExit(f"neurofm {command} ended with status {status}; its message is above. "
                         f"Finished steps are kept: run the demo again to continue")


def summary(out: Path, unseen: Path | None) -> None:
    """The table at the end, read from what the stages wrote."""
    print("\nReconstruction (Pearson r, people never trained on; no channel hidden)")
    tables = [pd.read_csv(out / "reconstruction" / "reconstruction.tsv", sep="\t")]
    if unseen is not None:
        table = pd.read_csv(unseen / "reconstruction" / "reconstruction.tsv", sep="\t")
        tables.append(table.assign(sensors=table["sensors"] + " (device never seen)"))
        ceiling = pd.read_csv(out / "archive" / "ceiling.tsv", sep="\t").groupby("device")
        print("  ceiling set by simulated sensor noise: "
              + ", ".join(f"{device} {value:.3f}" for device, value in
                          ceiling["ceiling_2s"].mean().items()))
    print(pd.concat(tables).to_string(index=False, float_format="{:.3f}".format))
    print("\nMasked tokens (validation subjects): accuracy a level against always naming the most "
          "frequent code")
    for line in reversed((out / "brainomni" / "log.jsonl").read_text().splitlines()):
        values = json.loads(line)
        if "val/accuracy_0" in values:
            for level in range(4):
                print(f"  level {level}: {values[f'val/accuracy_{level}']:.3f} against "
                      f"{values[f'val/chance_{level}']:.3f}")
            break
    if unseen is not None:
        print("\nLeft or right hand imagined (people never trained on, 64-channel EEG)")
        table = pd.read_csv(out / "evaluation" / "table.tsv", sep="\t")
        shown = ["method", "seeds", "balanced_accuracy", "low", "high", "chance_high", "p_chance"]
        print(table[shown].to_string(index=False, float_format="{:.3f}".format))
        print("(low, high: 95 % interval over people; chance_high: what exchanged labels reach)")
        print(f"Page of one decoded recording: {out / 'decoded' / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
