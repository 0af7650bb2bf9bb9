"""Run all stages once on simulated recordings or on yours.

    neurofm demo --out demo                 simulated people; one device is never trained on
    neurofm demo --out demo --data folder   your files (EEG, MEG, BIDS or not), up to the model

Each line shown is a command that can be typed by itself; a command that has finished is not run
again. Takes some minutes on two cores.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from neurofm import cli, config
from neurofm.limits import Count, limited
from neurofm.lock import only_one
from neurofm.preprocessing import archive
from neurofm.preprocessing.splits import SplitRule
from neurofm.progress import clock
from neurofm.results import Results
from neurofm.run import INTERRUPTED, PAGE
from neurofm.training.log import read_lines

TRAIN_DEVICES = "[eeg19,mag102,axial100]"
UNSEEN_DEVICE = "eeg32"
SPLITS = ["--splits.validation=[sub-001,sub-002,sub-003]",
          "--splits.test=[sub-004,sub-005,sub-006,sub-007]"]


@dataclass
@limited
class DemoConfig:
    """Run all stages on simulated recordings or on yours.

    Parameters
    ----------
    out
        Folder of all results.
    data
        Your files or folders, instead of the simulation.
    files, table
        Whose recordings these are, where their names are not those of BIDS, as in `neurofm
        ingest`.
    splits
        Which of your subjects train, validate and test, as in `neurofm ingest`.
    subjects
        Number of simulated subjects; the first seven are for validation and test.
    tokenizer_steps
        Training steps of the tokenizer.
    model_steps
        Training steps of the model.
    """

    out: str = "demo"
    data: str | None = None
    files: list[dict[str, str]] = field(default_factory=list)
    table: str = ""
    splits: SplitRule = field(default_factory=SplitRule)
    subjects: Count = 22
    tokenizer_steps: Count = 200
    model_steps: Count = 100


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    run = config.parse(DemoConfig, argv, command="demo")
    began = time.perf_counter()
    with only_one(run.out, "demo"):  # between its steps too
        status = on_data(run) if run.data else on_simulation(run)
    print(ending(run, time.perf_counter() - began))
    return status


def on_simulation(run: DemoConfig) -> int:
    """Simulate, then every stage to a decoder of people and a device it has never seen."""
    out = Path(run.out)
    unseen, cores = out / "unseen_device", min(os.cpu_count() or 1, 4)
    step("simulate", f"--out={out / 'archive'}", f"--subjects={run.subjects}", "--minutes=3",
         f"--devices={TRAIN_DEVICES}", f"--jobs={cores}")
    step("simulate", f"--out={unseen / 'archive'}", "--subjects=4", "--first_subject=101",
         "--minutes=3", "--always=[]", f"--devices=[{UNSEEN_DEVICE}]", f"--jobs={cores}")
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
         f"--out={out / 'decoder'}", "--decoder=network", "--architecture.recentered=true")
    step("evaluate decoding", f"--data={out / 'trials'}", f"--model={out / 'brainomni'}",
         "--methods=[frozen,frozen_recentered,csp_lda]", "--tuning=2", "--only.session=eeg64",
         f"--out={out / 'evaluation'}")
    recording = sorted((out / "archive" / "sub-004").rglob("*ses-eeg64*.fif"))[0]
    step("decode", recording, f"--model={out / 'decoder'}", "--events=[left,right]",
         f"--out={out / 'decoded'}")
    return 0


def on_data(run: DemoConfig) -> int:
    """Ingest, tokenizer, tokens and model on the user's own files; no labels are assumed."""
    out = Path(run.out)
    step("ingest", run.data, f"--out={out / 'corpus'}", "--contract.window_s=8",
         *([f"--files={json.dumps(run.files)}"] if run.files else []),
         *([f"--table={run.table}"] if run.table else []),
         *splits(run), allowed=(0, 3))
    learn(run, out / "corpus")
    return 0


def splits(run: DemoConfig) -> list[str]:
    """Options of ingest: those given; else none with ten people or more, so that a labeled corpus
    of the same files has the same splits; of fewer the last one is for the test."""
    rule, plain = run.splits, SplitRule()
    given = [f"--splits.{name}={json.dumps(getattr(rule, name))}" for name in vars(plain)
             if getattr(rule, name) != getattr(plain, name)]
    if given:
        return given
    found = archive.find([str(run.data)], files=run.files, table=run.table)
    people = sorted({job.subject for job in found.jobs if job.subject})
    if len(people) < 2:
        raise ValueError(f"--data {run.data}: wanted recordings of two people or more, since one "
                         f"is kept for the test, found {len(people)}")
    if len(people) >= 10:
        return []
    return [f"--splits.validation={json.dumps(people[1:-1][-1:])}",
            f"--splits.test={json.dumps(people[-1:])}"]


def learn(run: DemoConfig, corpus: Path) -> None:
    """Corpus → tokenizer, its reconstruction of unseen people, tokens, model."""
    out = Path(run.out)
    step("pretrain", f"--data={corpus}", f"--out={out / 'tokenizer'}", "--model=brain_tokenizer",
         '--architecture={"spatial": "leadfield", "n_filters": 12, "dim": 48, '
         '"quantize_from": 0.3}',
         f"--train.steps={run.tokenizer_steps}", "--train.batch_windows=4", "--train.lr=4e-3",
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
    """Run one public command in this process, as it is shown; stop the demo where it fails."""
    said = [str(word) for word in words]
    shown = " ".join(f"'{word}'" if set(word) & set('[]{}" ') else word for word in said)
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}$ neurofm {command} {shown}{plain}", flush=True)
    try:
        status = cli.main([*command.split(), *said])
    except SystemExit as end:  # of the command line
        status = end.code if isinstance(end.code, int) else 2
    if status == INTERRUPTED:
        raise SystemExit(INTERRUPTED)
    if status not in allowed:
        raise SystemExit(f"neurofm {command} ended with status {status}; its message is above. "
                         f"Finished steps are kept: run the demo again to continue")


def ending(run: DemoConfig, seconds: float) -> str:
    """The last screen, read from what the stages wrote: numbers, pages, what to try next."""
    out = Path(run.out)
    recordings = pd.read_feather(out / "corpus" / "recordings.arrow")
    n_people, own = recordings["subject"].nunique(), run.data is not None
    did = ["tokenizer", "tokens", "model", *([] if own else ["decoder", "comparison"])]
    lines = [
        "", f"{'Done' if own else 'Done, on simulated people'}: {len(recordings)} recordings of "
        f"{n_people} people → {' → '.join(did)}, in {clock(seconds)} min.", "",
        "                                                      score   95 % interval   chance",
        *_reconstructed(out / "reconstruction", "Reconstruction of new people (Pearson r)"),
    ]
    if not own:
        lines += [
            *_reconstructed(out / "unseen_device" / "reconstruction",
                            "  the same, a device never trained on"),
            *_decoded(out / "evaluation", "frozen_recentered",
                      "Left or right hand, new people: the model"),
            *_decoded(out / "evaluation", "csp_lda", "  the same, CSP and LDA (the baseline)"),
        ]
        lines.append("  (four people, never trained on: such intervals are rough)")
    else:
        lines += _masked(out / "brainomni", "Hidden tokens named by the model (accuracy)")
    pages = [(out / "corpus" / "quality.html", "quality of each recording"),
             (out / "reconstruction" / PAGE, "what the tokens keep")]
    pages.append((out / "brainomni" / "README.md", "card of the model") if own else
                 (out / "decoded" / PAGE, "a new recording, decoded"))
    lines += ["", "Open", *(f"  {path!s:<44} {text}" for path, text in pages), "",
              "Try next, with a file of your own (EDF, FIF, BrainVision, …)"]
    tried = [f"neurofm embed FILE --model {out / 'brainomni'} --out features"]
    tried += [
        f"neurofm ingest FOLDER --contract {out / 'brainomni' / 'preprocessor_config.json'} "
        f"--contract.window_s 4 --label.source event --out LABELED_CORPUS",
        f"neurofm finetune --data LABELED_CORPUS --model {out / 'brainomni'} --out decoder",
        f"neurofm show {out / 'brainomni'}",
    ] if own else [
        f"neurofm decode FILE --model {out / 'decoder'} --out decoded",
        "neurofm ingest FOLDER --out corpus",
    ]
    return "\n".join([*lines, *(f"  {line}" for line in tried)])


def _row(name: str, value: float, low: float | None, high: float | None, chance: str) -> str:
    between = "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"  {name:<50} {value:>7.3f}  {between:>14}   {chance}"


def _reconstructed(folder: Path, name: str) -> list[str]:
    """The row of the device with most people."""
    rows = [row for row in Results.load(folder).scores
            if row["method"] == "model" and row["metric"] == "pearson"]
    row = max(rows, key=lambda row: row["n"])
    return [_row(f"{name}, {row['sensors']}", row["value"], row["low"], row["high"], "0")]


def _decoded(folder: Path, method: str, name: str) -> list[str]:
    """The row of a method of the comparison."""
    (row,) = [row for row in Results.load(folder).scores
              if row["method"] == method and row["metric"] == "balanced_accuracy"]
    chance = f"{row['chance']:.2f}, up to {row['chance_high']:.2f}"
    return [_row(name, row["value"], row["low"], row["high"], chance)]


def _masked(folder: Path, name: str) -> list[str]:
    """Accuracy of the first level on validation people, where there were any."""
    for line in reversed(read_lines(folder / "log.jsonl")):
        if "val/accuracy_0" in line:
            return [_row(name, line["val/accuracy_0"], None, None,
                         f"{line['val/chance_0']:.3f}")]
    return []


if __name__ == "__main__":
    sys.exit(main())
