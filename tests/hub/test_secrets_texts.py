"""Free texts that may name somebody: listed at home, and published once they were looked at."""

import json
import shutil

import pandas as pd
import pytest

from neurofm import artifacts, cli
from neurofm.data import tables
from neurofm.hub import review, vocabulary
from tests.support.resealed import resealed

KNOWN = ("rest", "left", "right", "arithmetic", "eyes open", "EyesClosed", "resting_state", "S1",
         "Stimulus/S  1", "T2", "ev12", "button press", "Sleep stage N2", "BAD_boundary", "Fp1",
         "EEG Fp1-REF", "T8-P8-0", "MEG0113", "MLC12-4302", "E128", "S1_D2 760", "59", "M", "pre",
         "imagined_left_hand", "7Networks_LH_Vis_1", "task-rest", "01", "ROI 12",
         "eyesclosed", "eyesopen", "species", "homo sapiens", "medication")
UNKNOWN = ("Novak", "NovakJan", "SvobodaEva", "Jan Novak", "JN", "Anna1", "von Neumann, J.",
           "20190304", "510502", "0123456789abcdef0123456789abcdef01234567", "Rose", "Мария",
           "rest Novak", "Dr. X")


def test_vocabulary_knows_labels_and_no_names():
    assert [each for each in KNOWN if not vocabulary.is_known(each)] == []
    assert [each for each in UNKNOWN if vocabulary.is_known(each)] == []


# title → its words that may name somebody
TITLES = {
    "A decoder of rest and mental arithmetic on 64 channels": [],
    "BrainOmni, tiny, pretrained on EEG and MEG": [],
    "MEG-GPT: tokens of resting-state MEG (v2)": [],
    "Sleep stages from Novak's recordings": ["Novak"],
    "novak-decoder": ["novak"], "SvobodaEva v1": ["SvobodaEva"],
    "decoder of Jan NOVAK": ["Jan", "NOVAK"], "Мария": ["Мария"], "Patients of May": ["May"],
    "Weights may change at will": ["change"], "See https://example.org/novak": [],
}
# remarks → the same
REMARKS = {
    "Sixteen electrodes. Not tested on patients.": [],
    "Trained on adults at rest; do not use it for diagnosis.": [],
    "Please ask whoever recorded it before you quote it. It fails on children.": [],
    "Recorded at night by Kralova; Svoboda-Lee chose the stages.": ["Kralova", "Svoboda", "Lee"],
}


def test_secrets_words_that_may_name_somebody():
    assert {text: vocabulary.strangers(text) for text in TITLES} == TITLES
    assert {text: vocabulary.strangers(text, prose=True) for text in REMARKS} == REMARKS


def test_secrets_surnames_in_what_is_typed(named, tmp_path, capsys):
    """Options of `publish` that end in the card, a tag or an address."""
    texts, typed = tmp_path / "people.texts.tsv", {
        "--title": "Decoder of Novakova", "--limits": "Only what Svoboda recorded.",
        "--license_name": "dvorak-1.0", "--revision": "holub"}
    words = [f"{option}={text}" for option, text in typed.items()]
    words += ["--license=other", "--license_link=https://example.org/l",
              f"--pseudonyms={tmp_path / 'people.tsv'}"]
    command = ["publish", str(named), "tester/kral-windows", *words]
    assert cli.main([*command, "--dry-run"]) == 0
    assert "Novakova' (--title)" in capsys.readouterr().out
    assert review.read(texts) == {*WANTED, "Novakova", "Svoboda", "dvorak", "holub", "kral"}
    staged = tmp_path / "staged"
    assert cli.main([*command, "--dry-run", f"--texts={texts}", f"--staged={staged}"]) == 0
    assert "may name somebody" not in capsys.readouterr().out
    assert "Decoder of Novakova" in (staged / "README.md").read_text()


@pytest.fixture
def named(corpus_folder, tmp_path):
    """A corpus in which labels, a session, a task, a channel and a file are called by a name."""
    folder = shutil.copytree(corpus_folder, tmp_path / "named")
    recordings = tables.read(folder / "recordings.arrow").copy()
    recordings["session"], recordings["task"] = "NovakJan", "SvobodaEva"
    recordings["quality"] = json.dumps({
        "bads": {"Holub": "its spectrum is 1.24 from the others' (log power)"},
        "not_used": {"ECG": "by its name ECG, not EEG"},
        "windows_left_out": {"in a stretch marked bad": 3}})
    recordings["attributes"] = '{"nickname": "Pepik", "sex": "F"}'
    recordings["source"] = [f"planted/sub-{n:02}_ses-1_task-Kralova_eeg.fif"
                            for n in range(len(recordings))]
    tables.write(recordings, folder / "recordings.arrow")
    windows = tables.read(folder / "windows.arrow").copy()
    windows["label"] = ["Jan Novak" if n % 2 else "rest" for n in range(len(windows))]
    tables.write(windows, folder / "windows.arrow")
    layouts = json.loads((folder / "layouts.json").read_text())
    for layout in layouts.values():
        layout["names"][0] = "Dvorak"
    artifacts.write_json(folder / "layouts.json", layouts)
    artifacts.write_json(folder / "datasets.json", {
        name: {"licence": "CC0"} for name in set(recordings["dataset"].fillna(""))})
    resealed(folder, add=("datasets.json",))
    return folder


WANTED = {"NovakJan", "SvobodaEva", "nickname", "Pepik", "Kralova", "Jan Novak", "Dvorak", "Holub"}


def publish(folder, *words: str) -> int:
    return cli.main(["publish", str(folder), "tester/windows", "--license=cc0-1.0", *words])


def test_free_texts_are_looked_at_before_anything_is_sent(named, tmp_path, server, capsys):
    table = tmp_path / "home" / "people.tsv"
    texts = tmp_path / "home" / "people.texts.tsv"
    assert publish(named, "--dry-run", f"--pseudonyms={table}") == 0
    said = capsys.readouterr().out
    assert f"look at {len(WANTED)} texts that may name somebody: 'Dvorak' (channel)" in said
    assert f"--texts {texts}" in said
    assert review.read(texts) == WANTED
    assert texts.stat().st_mode & 0o077 == 0
    assert publish(named, f"--pseudonyms={table}") == 1
    assert f"all are in {texts}" in capsys.readouterr().err
    assert not any(repo.revisions for repo in server.repos.values() if hasattr(repo, "revisions"))
    # What was read passes; what came since is asked for again.
    texts.write_text("\n".join(line for line in texts.read_text().splitlines()
                               if not line.startswith("Pepik")) + "\n")
    assert publish(named, f"--pseudonyms={table}", f"--texts={texts}") == 1
    assert "1 text that may name somebody: 'Pepik' (attribute nickname)" in capsys.readouterr().err
    texts.write_text("text\twhere\n" + "".join(f"{each}\t\n" for each in WANTED))
    assert publish(named, f"--pseudonyms={table}", f"--texts={texts}") == 0
    assert ("dataset", "tester/windows") in server.repos
    assert publish(named, f"--texts={tmp_path / 'none.tsv'}") == 1
    assert "there is no file" in capsys.readouterr().err


def test_sessions_and_tasks_are_replaced_by_rows_of_the_table(named, tmp_path):
    table, out = tmp_path / "people.tsv", tmp_path / "look"
    recordings = tables.read(named / "recordings.arrow").copy()
    recordings["recording"] = [f"{name}-NovakJan" for name in recordings["recording"]]
    for new, old in zip(recordings["recording"],
                        (name.removesuffix("-NovakJan") for name in recordings["recording"]),
                        strict=True):
        (named / "windows" / f"{old}.arrow").rename(named / "windows" / f"{new}.arrow")
    tables.write(recordings, named / "recordings.arrow")
    listed = [name for name in artifacts.read_manifest(named).listed if name.endswith(".arrow")
              and name.startswith("windows/")]
    resealed(named, without=tuple(listed), add=tuple(
        f"windows/{name}.arrow" for name in recordings["recording"]))
    dataset = recordings["dataset"].fillna("").iloc[0]
    table.write_text("dataset\tlabel\tpseudonym\n"
                     f"{dataset}\tNovakJan\t01\n{dataset}\tSvobodaEva\trest\n")
    assert publish(named, "--dry-run", f"--pseudonyms={table}", f"--staged={out}") == 0
    staged = pd.read_parquet(out / "recordings.parquet")
    assert {*staged["session"]} == {"01"}
    assert {*staged["task"]} == {"rest"}
    assert all(name.endswith("-01") for name in staged["recording"])
    assert not {"NovakJan", "SvobodaEva"} & review.read(tmp_path / "people.texts.tsv")


def test_known_texts_are_not_asked_for(corpus_folder, tmp_path, capsys):
    folder = shutil.copytree(corpus_folder, tmp_path / "plain")
    recordings = tables.read(folder / "recordings.arrow").copy()
    recordings["source"] = [f"planted/sub-{n:02}_task-rest_eeg.fif" for n in range(len(recordings))]
    tables.write(recordings, folder / "recordings.arrow")
    artifacts.write_json(folder / "datasets.json", {
        name: {"licence": "CC0"} for name in set(recordings["dataset"].fillna(""))})
    resealed(folder, add=("datasets.json",))
    assert publish(folder, "--dry-run") == 0
    assert "may name somebody" not in capsys.readouterr().out


def test_all_findings_are_in_a_table(named, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NEUROFM_CACHE", str(tmp_path / "cache"))
    windows = tables.read(named / "windows.arrow").copy()
    windows["label"] = [f"Patient: Svoboda{'abcdefghijkl'[n % 12]}" for n in range(len(windows))]
    tables.write(windows, named / "windows.arrow")
    resealed(named)
    assert publish(named, "--dry-run") == 1
    table = tmp_path / "cache" / "publish" / "tester--windows" / "findings.tsv"
    assert f"(all are in {table})" in capsys.readouterr().err
    found = pd.read_csv(table, sep="\t")
    assert {*found["text"]} >= {*windows["label"]}


def test_limits_of_a_corpus_are_in_its_card(named, tmp_path, capsys):
    out = tmp_path / "look"
    assert publish(named, "--dry-run", f"--staged={out}", "--limits=Adults at rest only.") == 0
    assert "## Limits\n\nAdults at rest only.\n" in (out / "README.md").read_text()
    assert publish(named, "--dry-run", "--base_model=org/name") == 1
    assert "leave them out of a corpus" in capsys.readouterr().err
