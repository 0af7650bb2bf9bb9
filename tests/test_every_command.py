"""Every command that makes an artifact keeps the promises of the frame.

Run twice it is finished; with another option it is refused by the option's name; two at once, one
is told; stopped halfway it continues to the same bytes; a training subject is a LEAK and a
published data set a DOUBT, on the terminal, in results.json and on the page.

A new command needs a case in CASES, or a reason in ELSEWHERE.
"""

import functools
import json
from importlib.metadata import entry_points

import pytest

from neurofm import artifacts, checkpoints, cli
from neurofm.data.corpus import Corpus
from neurofm.lock import only_one
from neurofm.results import Results
from tests.support.one_person import save_raw
from tests.support.planted import make_backbone

# Command → why it has no case here: it makes no artifact, or its own tests show the same.
ELSEWHERE = {
    "show": "makes nothing", "publish": "makes nothing", "verify": "makes nothing",
    "demo": "runs other commands",
    "ingest": "tests/preprocessing/test_ingest.py", "pair": "tests/preprocessing/pairing",
    "simulate": "tests/preprocessing/simulation", "from_moabb": "needs the network",
    "pretrain": "tests/pretrain/test_resume_command.py",
    "generate": "tests/downstream/benchmarks/generation",
    "import": "tests/published/test_import.py",
    "synthesize": "tests/downstream/test_synthesize_neurobolt.py",
    "federate": "tests/downstream/federated",
    "evaluate": "tests/downstream/benchmarks",
}
# Command → (an option that changes what is made, as the refusal names it).
CASES = {
    "tokenize": None,  # has no such option
    "finetune": "--train.lr=0.5",
    "decode": "--abstain_below=0.9",
    "stream": "--speed=39",
    "embed": "--montage=biosemi64",
    "explain": "--permutations=21",
    "export": "--max_channels=400",
}
JUDGES = ("finetune", "decode", "stream", "explain")
# What tells when, and not what, was made.
CLOCKS = {"stream"}


@pytest.fixture(scope="module")
def words(planted, decoder, corpus_folder, tokenizer_folder, tmp_path_factory):
    """words(command, model) → its command line but for --out, with the least to do."""
    folder = tmp_path_factory.mktemp("planted_people") / "planted"
    folder.mkdir()
    recording = save_raw(folder / "sub-09_task-imagery_raw.fif", n_windows=4)

    def of(command: str, model=None) -> list[str]:
        data = f"--data={planted.corpus}"
        backbone, trained = (f"--model={model or made}" for made in (planted.backbone, decoder))
        return {
            "tokenize": [f"--data={corpus_folder}", f"--model={tokenizer_folder}"],
            "finetune": [data, backbone, "--train.steps=4", "--train.lr=1e-3"],
            "decode": [str(recording), trained],
            "stream": [f"--replay={recording}", trained, "--speed=40"],
            "embed": [str(recording), backbone],
            "explain": [data, trained, "--permutations=20"],
            "export": [str(model or decoder)],
        }[command]

    return of


def test_every_command_has_a_case():
    names = set(entry_points(group="neurofm.commands").names)
    ours = {name for group in cli.GROUPS.values() for name in group} | {"from_moabb"}
    assert names & ours == {*CASES, *ELSEWHERE} & names
    assert not set(CASES) & set(ELSEWHERE)


@pytest.mark.parametrize("command", CASES)
def test_every_command_twice_changed_and_at_once(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = [command, *words(command), "--out=out"]
    with only_one("out", "x"):
        assert cli.main(line) == 1
    assert "another neurofm is working in this folder" in capsys.readouterr().err
    assert cli.main(line) == 0
    made = artifacts.open_sealed("out", hashes=True)
    capsys.readouterr()
    assert cli.main(line) == 0
    assert f"is finished ({made.fingerprint}): nothing to do" in capsys.readouterr().out
    if CASES[command]:
        name = CASES[command].removeprefix("--").partition("=")[0]
        kept = [word for word in line if not word.startswith(f"--{name}=")]
        assert cli.main([*kept, CASES[command]]) == 1
        assert f"made with other settings ({name}: " in capsys.readouterr().err


@pytest.mark.parametrize("command", [name for name in CASES if name not in CLOCKS])
def test_every_command_stopped_before_the_end_continues_to_the_same_bytes(
    command, words, tmp_path, monkeypatch
):
    fingerprints = []
    for place, disturbed in (("whole", False), ("stopped", True)):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        line = [command, *words(command), "--out=out"]
        if disturbed:
            with monkeypatch.context() as patch:
                patch.setattr(artifacts, "seal", _stop_in("out", artifacts.seal))
                assert cli.main(line) == 130
            assert not artifacts.is_sealed("out")
        assert cli.main(line) == 0
        found = artifacts.open_sealed("out", hashes=True)
        fingerprints.append({name: entry[1] for name, entry in found.files.items()
                             if not name.endswith(".jsonl")})
    assert fingerprints[0] == fingerprints[1]


def _stop_in(out: str, seal):
    """`artifacts.seal` that is interrupted where it would seal this folder."""

    @functools.wraps(seal)
    def stopped(folder, *given, **named):
        if str(folder) == out:
            raise KeyboardInterrupt
        return seal(folder, *given, **named)

    return stopped


@pytest.mark.parametrize("kind", ["LEAK", "DOUBT"])
@pytest.mark.parametrize("command", JUDGES)
def test_every_command_that_judges_says(command, kind, words, planted, decoder, tmp_path, capsys):
    """A person of the training data, or weights of others that were trained on the data set."""
    corpus = Corpus.open(planted.corpus)
    ledger = {"recordings": [], "published": [{
        "weights": "w", "paper": "p", "note": "n", "licence": "mit", "family": "f", "role": "train",
        "datasets": ["Planted"]}]}
    if kind == "LEAK":
        seen = {"train": [*corpus.select("test"), *corpus.select("validation")]}
        ledger = checkpoints.training_ledger(corpus, seen)
    model = tmp_path / "model"
    if command == "finetune":
        make_backbone(model, ledger)
    else:
        trained = checkpoints.load(decoder)
        checkpoints.save_checkpoint(trained, model, config={}, parents={}, ledger=ledger,
                                    metrics={})
    out = tmp_path / "out"
    capsys.readouterr()
    assert cli.main([command, *words(command, model), f"--out={out}"]) == 0
    said = capsys.readouterr().out
    (flag,) = Results.load(out).flags
    assert flag.kind == kind
    assert str(flag) in said
    assert flag.text in (out / "report.html").read_text().replace("&#x27;", "'")
    assert json.loads((out / "results.json").read_text())["flags"][0]["kind"] == kind
