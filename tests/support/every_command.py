"""The least that every command can work on: small inputs, made once, and the command lines."""

import contextlib
import json
import os
import sys
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

from neurofm import cli
from neurofm.run import Command
from tests.support import corpora, fmri, planted
from tests.support.one_person import save_raw

_TOKENIZER = {"n_tokens": 12, "n_units": 8, "window_length": 32, "margin": 8, "kernel": 6}
_GPT = {"dim": 8, "n_heads": 1, "feedforward_dim": 16, "n_blocks": 1, "context": 16}
_BRAINMAE = {"dim": 8, "n_heads": 2, "n_static": 1, "n_adaptive": 1, "n_blocks": 1, "n_factors": 4}
_SITES = {"clinic": 8, "lab": 6}  # name → electrodes
_SPLITS = ('--splits.test=["003"]', '--splits.validation=["002"]')
_QUICK = ("--train.batch_windows=4", "--train.lr=1e-3")
# Command → what it is asked besides.
WORDS = {
    "simulate": ("--bold=true", "--subjects=3", "--minutes=1", "--always=[eeg19]", "--devices=[]",
                 "--devices_per_subject=0"),
    "ingest": ("--workers=1", "--contract.window_s=5", *_SPLITS),
    "pair": ("--workers=1", "--contract.sfreq=100", "--contract.lowpass_hz=40",
             "--contract.notch_hz=[]", *_SPLITS),
    "pretrain": ("--model=brain_tokenizer", f"--architecture={json.dumps(corpora.TOKENIZER)}",
                 "--train.steps=4", "--train.save_every=2", *_QUICK),
    "tokenize": (),
    "import": ("--family=labram",),
    "finetune": ("--decoder=network", "--train.steps=4", "--train.lr=1e-3"),
    "decode": (),
    "stream": ("--speed=40",),
    "embed": (),
    "explain": ("--permutations=20",),
    "generate": ("--seconds=1", "--burn_in_s=0", "--batch_windows=1"),
    "synthesize": ('--partner={"/eeg/": "/func/", "_eeg.fif": "_timeseries.tsv"}',
                   "--permutations=100"),
    "export": (),
    "federate": ("--learning.rounds=1", "--learning.protocol.kind=loso", "--folds=[0]",
                 "--learning.train.batch_windows=4", "--methods=[federated,local]"),
    "evaluate decoding": ("--methods=[frozen,band_power_lr]", "--seeds=1", "--tuning=1",
                          "--train.steps=4"),
    "evaluate reconstruction": (),
    "evaluate hidden-regions": ("--shares=[0.5]",),
    "evaluate next-token": ("--order=4", "--windows=8"),
    "evaluate generation": ("--ar_order=4", "--mvar_order=2", "--permutations=20",
                            "--bands={alpha: [8, 13]}"),
    "evaluate bold": ("--methods=[ours,alpha_hrf]", "--permutations=20"),
}
# Command → (the option, what it reads: a name in `Inputs`).
DATA = {
    "ingest": ("", "archive"), "pair": ("", "archive"), "import": ("", "weights"),
    "pretrain": ("--data=", "corpus"), "tokenize": ("--data=", "corpus"),
    "finetune": ("--data=", "labeled"), "explain": ("--data=", "labeled"),
    "decode": ("", "recording"), "stream": ("--replay=", "recording"), "embed": ("", "recording"),
    "generate": ("--data=", "short"), "evaluate decoding": ("--data=", "labeled"),
    "evaluate reconstruction": ("--data=", "corpus"),
    "evaluate hidden-regions": ("--data=", "fmri"), "evaluate next-token": ("--data=", "short"),
    "evaluate generation": ("--data=", "short"), "evaluate bold": ("--data=", "pairs"),
}
MODELS = {
    "tokenize": ("--model=", "tokenizer"), "finetune": ("--model=", "backbone"),
    "decode": ("--model=", "decoder"), "stream": ("--model=", "decoder"),
    "embed": ("--model=", "backbone"), "explain": ("--model=", "decoder"),
    "generate": ("--model=", "gpt"), "synthesize": ("--model=", "neurobolt"),
    "export": ("", "decoder"), "federate": ("--learning.model=", "centered"),
    "evaluate decoding": ("--model=", "backbone"),
    "evaluate reconstruction": ("--model=", "tokenizer"),
    "evaluate hidden-regions": ("--model=", "brainmae"),
    "evaluate next-token": ("--model=", "gpt"),
    "evaluate generation": ("--generated.ours=", "generated"),
    "evaluate bold": ("--model=", "neurobolt"),
}


@dataclass
class Inputs:
    """Folders that commands read, each made when it is first asked for.

    folder: where they are made. planted, decoder, corpus, tokenizer: as the fixtures of conftest.
    weights: published ones of LaBraM.
    """

    folder: Path
    planted: planted.Planted
    decoder: Path
    corpus: Path
    tokenizer: Path
    weights: Path

    def made(self, name: str, command: str, *words: str) -> Path:
        out = self.folder / name
        assert cli.main([*command.split(), *words, f"--out={out}"]) == 0
        return out

    @property
    def labeled(self) -> Path:
        return self.planted.corpus

    @property
    def backbone(self) -> Path:
        return self.planted.backbone

    @cached_property
    def recording(self) -> Path:
        people = self.folder / "people" / "planted"  # the folder names the data set
        people.mkdir(parents=True)
        return save_raw(people / "sub-09_task-imagery_raw.fif", n_windows=4)

    @cached_property
    def archive(self) -> Path:
        """EEG and BOLD of three people."""
        return self.made("archive", "simulate", *WORDS["simulate"])

    @cached_property
    def pairs(self) -> Path:
        return self.made("pairs", "pair", *self.words("pair"))

    @cached_property
    def neurobolt(self) -> Path:
        return self.made("neurobolt", "pretrain", "--model=neurobolt_sequence",
                         f"--data={self.pairs}", "--architecture={n_sources: 4}")

    @cached_property
    def short(self) -> Path:
        """A corpus of one layout."""
        return corpora.make(self.folder / "short", n_channels=(6,), n_windows=8)

    @cached_property
    def gpt(self) -> Path:
        samples = self.made("samples", "pretrain", "--model=ephys_tokenizer", "--train.steps=2",
                            f"--data={self.short}", f"--architecture={json.dumps(_TOKENIZER)}",
                            *_QUICK)
        return self.made("gpt", "pretrain", "--model=meg_gpt", f"--data={self.short}",
                         f"--tokenizer={samples}", f"--architecture={json.dumps(_GPT)}",
                         "--train.steps=2", *_QUICK)

    @cached_property
    def generated(self) -> Path:
        return self.made("generated", "generate", *self.words("generate"), "--seconds=8")

    @cached_property
    def fmri(self) -> Path:
        return fmri.make(self.folder / "fmri")

    @cached_property
    def brainmae(self) -> Path:
        return self.made("brainmae", "pretrain", "--model=brainmae", f"--data={self.fmri}",
                         f"--architecture={json.dumps(_BRAINMAE)}", "--train.steps=2", *_QUICK)

    @cached_property
    def sites(self) -> dict[str, str]:
        return {name: str(planted.make_corpus(
            self.folder / name, caps=(n,), split=["train"] * 5, n_windows=4, seed=n))
            for name, n in _SITES.items()}

    @cached_property
    def centered(self) -> Path:
        return planted.make_backbone(self.folder / "centered", geometry="centred")

    @property
    def roots(self) -> list[Path]:
        """Folders that hold all of them."""
        return [self.folder, self.labeled, self.backbone, self.decoder, self.corpus,
                self.tokenizer, self.weights]

    def model(self, command: str) -> Path:
        """What a command is given as --model (of `evaluate generation`, the signals)."""
        return getattr(self, MODELS[command][1])

    def words(self, command: str, model: Path | None = None) -> list[str]:
        """The command line but for its name and --out, with the least to do."""
        found = list(WORDS[command])
        if command in DATA:
            found.append(DATA[command][0] + str(getattr(self, DATA[command][1])))
        if command in MODELS:
            found.append(MODELS[command][0] + str(model or self.model(command)))
        if command == "synthesize":
            found.append(str(next(self.archive.glob("sub-003/*/eeg/*_eeg.fif"))))
        if command == "federate":
            found.append(f"--sites={json.dumps(self.sites)}")
        if command == "pair":
            found.append(f"--rois={self.archive / 'rois.tsv'}")
        return found


class Writes:
    """Counts the files that Python opens to write in a folder, and interrupts at one of them."""

    def __init__(self):
        self.folder, self.count, self.stop_at = "", 0, 0
        self.meanwhile: Callable[[], object] | None = None
        sys.addaudithook(self._heard)

    @contextlib.contextmanager
    def watched(self, folder: Path, stop_at: int = 0,
                meanwhile: Callable[[], object] | None = None):
        """stop_at: number of the file at which it is interrupted; 0 = none. meanwhile: called when
        the first one is about to be written."""
        self.folder, self.count, self.stop_at = f"{folder}{os.sep}", 0, stop_at
        self.meanwhile = meanwhile
        try:
            yield self
        finally:
            self.folder = ""

    def _heard(self, event: str, given: tuple) -> None:
        if not self.folder or event != "open" or not isinstance(given[0], str | os.PathLike):
            return
        path, flags = os.path.abspath(os.fspath(given[0])), given[2]
        if (not flags & (os.O_WRONLY | os.O_RDWR) or not path.startswith(self.folder)
                or path.endswith(".lock") or threading.current_thread() is not
                threading.main_thread()):
            return
        self.count += 1
        if self.meanwhile is not None:
            meanwhile, folder, self.meanwhile, self.folder = self.meanwhile, self.folder, None, ""
            meanwhile()
            self.folder = folder
        if self.count == self.stop_at:
            raise KeyboardInterrupt


def commands(repo: Path) -> dict[str, list[Command]]:
    """Name → what its module holds, of all that the project declares: what is installed may be
    older."""
    points = tomllib.loads((repo / "pyproject.toml").read_text())["project"]["entry-points"]
    declared = {**points["neurofm.commands"], **{
        f"evaluate {name}": place for name, place in points["neurofm.benchmarks"].items()}}
    return {name: [value for value in vars(import_module(place.partition(":")[0])).values()
                   if isinstance(value, Command)] for name, place in declared.items()}
