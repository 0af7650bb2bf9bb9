"""Fixtures that several folders use: real recordings, reference outputs, small trained models.

What a session makes once is never changed by a test. neurofm is imported where it is used: the
folders that need no torch start at once.
"""

import fcntl
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support import shape_checks

# More threads than cores (several test processes, each with two) make everything ten times slower.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or min(2, os.cpu_count() or 1)))

# A million objects are imported and stay: to look among them for garbage takes a fifth of the time
# of collecting the tests, and some of each test's.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


shape_checks.install()

ROOT = Path(__file__).resolve().parent.parent

# `pytest -k WORD` for words that are in no folder's, file's or test's name.
WORDS = {
    "downstream/benchmarks": "evaluation",
    "downstream/protocol": "evaluation",
    "downstream/scoring": "evaluation",
    "downstream/baselines": "evaluation",
    "downstream/tasks": "evaluation",
    "downstream/estimators": "evaluation",
    "downstream/use": "evaluation",
    "downstream/decoder": "evaluation",
    "downstream/test_export.py": "hub",
    "checkpoints": "hub",
    "models/test_fleeg.py": "federated",
}

# The files that take longest, longest first: one that begins last leaves the other cores idle.
LONGEST = (
    "downstream/benchmarks/generation/test_meg_gpt_dreams.py",
    "downstream/federated/test_deployment.py", "downstream/federated/test_federate.py",
    "downstream/federated/test_stop.py", "pretrain/test_cluster.py",
    "pretrain/test_resume_command.py", "training/test_distributed.py", "test_every_command.py",
    "test_one_file.py", "downstream/benchmarks/decoding/test_question.py", "hub/test_publish.py",
    "downstream/benchmarks/decoding/test_brainmae.py", "downstream/federated/test_privacy.py",
    "downstream/federated/test_encoder.py", "downstream/benchmarks/bold/test_neurobolt.py",
    "downstream/benchmarks/decoding/test_published.py", "tokenizers/test_meg_gpt_tokenizers.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place_of(item: pytest.Item) -> str:
        return item.path.relative_to(ROOT / "tests").as_posix()

    rank = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(place_of(item), len(rank)))  # others keep their order
    for item in items:
        item.extra_keyword_matches.update(
            word for place, word in WORDS.items() if place_of(item).startswith(place))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """No test pulls the plug, and thousands of fsyncs are minutes. That each file is flushed
    before its name appears is tested in data/test_corpus.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _hashes_remembered_here(tmp_path_factory):
    """And not in the cache folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROFM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _folder(path: Path, what: str, variable: str) -> Path:
    if path.is_dir():
        return path
    reason = f"no {what} at {path}: set {variable} to the folder that holds it"
    if os.environ.get("NEUROFM_REQUIRE_SHARED") == "1":
        pytest.fail(f"{reason} (NEUROFM_REQUIRE_SHARED=1)")
    pytest.skip(reason)


def _shared() -> Path:
    return Path(os.environ.get("NEUROFM_SHARED") or ROOT.parent / "shared")


class Data:
    """data / "eegmat/…" → the real recording; without the folder of data, a simulated one of the
    same name and kind, or the test is skipped."""

    def __init__(self, once: Callable):
        self.once = once

    def __truediv__(self, path: str) -> Path:
        from tests.support import stand_ins

        real, (name, *inside) = _shared() / "data", Path(path).parts
        if real.is_dir() or os.environ.get("NEUROFM_REQUIRE_SHARED") == "1" \
                or name not in stand_ins.MADE:
            return _folder(real, "real recordings", "NEUROFM_SHARED") / path
        return self.once(name, stand_ins.MADE[name]).joinpath(*inside)


@pytest.fixture(scope="session")
def data(once) -> Data:
    """Folder of real recordings (eegmat, eegmmidb, meg_readers, …)."""
    return Data(once)


@pytest.fixture(scope="session")
def golden():
    """golden(system) → folder of weights, inputs and outputs of that reference implementation.

    NEUROFM_GOLDEN may name such a folder itself, or the folder of those of several systems.
    """
    path = os.environ.get("NEUROFM_GOLDEN")

    def of(system: str) -> Path:
        folder = _folder(Path(path) if path else _shared() / "golden", "golden outputs",
                         "NEUROFM_GOLDEN")
        return folder / system if (folder / system).is_dir() else folder

    return of


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """released(system) → folder of configs and weights, as `golden` has it, for tests to which
    their values do not matter: without the real ones, random weights of the same names and
    shapes."""
    made = {}

    def of(system: str) -> Path:
        from tests.support import published_layouts

        real = Path(os.environ.get("NEUROFM_GOLDEN") or _shared() / "golden") / system
        if real.is_dir() or os.environ.get("NEUROFM_REQUIRE_SHARED") == "1":
            return real
        if system not in made:
            folder = tmp_path_factory.mktemp("published") / system
            made[system] = published_layouts.write(system, folder)
        return made[system]

    return of


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository, for `configs/`."""
    return ROOT


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """once(name, make) → a folder that make(folder) fills in the first process that asks; the
    others of this run of pytest wait for it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    (base / "once").mkdir(exist_ok=True)

    def of(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = base / "once" / name, base / "once" / f"{name}.done"
        with open(base / "once" / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return of


@pytest.fixture(scope="session")
def corpus_folder(once) -> Path:
    """A sealed corpus: six subjects, layouts of 5, 8 and 12 electrodes."""
    from tests.support import corpora

    return once("corpus", corpora.make)


@pytest.fixture(scope="session")
def tokenizer_folder(once, corpus_folder) -> Path:
    """A tiny tokenizer trained on the corpus for a few steps."""
    from neurofm.pretrain.train import main as pretrain
    from tests.support import corpora

    def make(out: Path) -> None:
        run = {"data": str(corpus_folder), "out": str(out), "model": "brain_tokenizer",
               "architecture": corpora.TOKENIZER, "train": {"steps": 6, "batch_windows": 8}}
        assert pretrain([f"--config={corpora.write_yaml(out, run)}"]) == 0

    return once("tokenizer", make)


@pytest.fixture(scope="session")
def tokens_folder(once, corpus_folder, tokenizer_folder) -> Path:
    """The corpus's tokens under that tokenizer."""
    from neurofm.pretrain.tokenize import main as tokenize

    def make(out: Path) -> None:
        assert tokenize([f"--data={corpus_folder}", f"--model={tokenizer_folder}",
                         f"--out={out}"]) == 0

    return once("tokens", make)


@pytest.fixture(scope="session")
def planted(once):
    """A labeled corpus with an effect, and an untrained backbone."""
    from tests.support import planted

    return planted.Planted(once("planted", planted.make_corpus),
                           once("backbone", planted.make_backbone))


@pytest.fixture(scope="session")
def decoder(once, planted):
    """Folder of a frozen decoder of the planted effect."""
    from neurofm.downstream.finetune import main as finetune

    def make(out: Path) -> None:
        words = [f"--data={planted.corpus}", f"--model={planted.backbone}", f"--out={out}"]
        assert finetune([*words, "--decoder=network", "--train.steps=40", "--train.lr=1e-3"]) == 0

    return once("decoder", make)


@pytest.fixture
def checked_here(monkeypatch):
    """What is published is checked in this process: a fresh one takes seconds to start, and
    test_published_loaded_by_name_and_decoding has it."""
    from neurofm import checkpoints
    from neurofm.checkpoints import golden
    from neurofm.hub import staging

    monkeypatch.setattr(staging, "check_in_fresh_process",
                        lambda folder: golden.check(checkpoints.load(folder), folder))
