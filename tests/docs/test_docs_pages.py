"""Pages of the site: all reachable, no broken link, every command and Python block valid."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from neurofm import config
from neurofm.data.base_contract import FILE_NAME as CONTRACT_FILE
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = ("_build", "auto_examples", "commands", "api", "results_schema.md",
             "configurations.md", "architectures.md")
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md")
               if not set(GENERATED) & set(path.relative_to(ROOT / "docs").parts)
               and not path.name.startswith("_"))
FENCE = re.compile(r"^(`{3,}|:{3,})\{?(\w[\w-]*)?\}?[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT / "docs"))


def toctrees(page: Path) -> list[Path]:
    """Pages that the toctrees of a page name."""
    found = []
    for _, kind, body in FENCE.findall(page.read_text()):
        if kind == "toctree":
            found += [page.parent / f"{line.strip()}.md" for line in body.splitlines()
                      if line.strip() and not line.startswith(":")]
    return found


def headings(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub and MyST make them."""
    text = FENCE.sub("", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def test_every_page_is_in_a_toctree(site):
    """Examples come from sphinx-gallery, when the site is built."""
    seen, waiting = set(), [site / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or "auto_examples" in page.parts or (
                page == site / "results" / "index.md" and not page.exists()):
            continue
        assert page.exists(), f"{page} is in a toctree, but there is no such page"
        seen.add(page)
        waiting += toctrees(page)
    every = {page for page in site.rglob("*.md") if not page.name.startswith("_")
             and "examples" not in page.parts}
    assert every == seen


def test_every_internal_link_resolves(site):
    broken = []
    for page in site.rglob("*.md"):
        text = page.read_text()
        for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
            place, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target) or "auto_examples" in target:
                continue
            other = page if not place else page.parent / place
            if not other.exists():
                broken.append(f"{page.relative_to(site)}: {target}")
            elif anchor and anchor not in headings(other.read_text()):
                broken.append(f"{page.relative_to(site)}: no heading for {target}")
    assert not broken, "\n".join(broken)


def test_every_included_file_is_there():
    missing = [f"{named(page)}: {name}" for page in PAGES
               for name in re.findall(r"\{(?:literal)?include\} (\S+)", page.read_text())
               if not (page.parent / name).exists() and not name.startswith("_")]  # generated
    assert not missing, "\n".join(missing)


def typed(page: Path) -> list[list[str]]:
    """Words of the commands in a page's blocks, and of those that batch scripts are given."""
    found = []
    for _, kind, body in FENCE.findall(page.read_text()):
        lines = re.sub(r"\\\n\s*", "", body).splitlines() if kind == "bash" else []
        for line in lines:
            line = re.sub(r"^job=\$\((sbatch .*)\)$", r"\1", line.strip())
            line = re.sub(r"^(\w+=\S+ )*sbatch( --\S+)* configs/slurm/", "", line)
            line = re.sub(r"^array.sbatch", "neurofm", line)
            line = re.sub(r"^pretrain.sbatch", "neurofm pretrain", line)
            if line.startswith("neurofm "):
                found.append(shlex.split(line, comments=True)[1:])
    return found


@pytest.mark.parametrize("page", [page for page in [ROOT / "README.md", *PAGES] if typed(page)],
                         ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_parsed(page, generate, tmp_path, monkeypatch, capsys):
    """With the config of the command: unknown keys, wrong values and contradictions are errors.

    Names of packages that a guide adds are not installed here. Files that are looked for at once
    stand in a folder of their own.
    """
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    known = generate.commands.all_commands()
    for words in typed(page):
        for option, word in itertools.pairwise(words):
            file = tmp_path / word
            if file.name in ("rois.tsv", "ceiling_bold.tsv", CONTRACT_FILE):
                file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".tsv" and file.parent.is_dir():
                file.write_text("roi\n")
            elif file.name == CONTRACT_FILE:
                (FMRIContract() if option == "--fmri" else InputContract()).save(file.parent)
        size = 2 if words[0] == "evaluate" else 1
        name, rest = " ".join(words[:size]), words[size:]
        if name.startswith("--"):
            continue
        assert name in known, words
        if name == "publish":
            rest = [word.replace("--dry-run", "--dry_run=true") for word in rest]
        if "add_" in page.name:
            rest = [word.replace("toy_nearest,", "").replace("clip", "x") for word in rest
                    if "toy" not in word or "," in word]
        try:
            config.parse(known[name].config, rest, command=name,
                         positional=known[name].positional)
        except SystemExit:
            pytest.fail(f"{words}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_blocks_compile_and_run(page):
    """All compile; those that open no file are run."""
    for _, kind, body in FENCE.findall(page.read_text()):
        if kind == "python":
            code = compile(body, str(page), "exec")
            if not re.search(r"\"[^\"]*(?:/|\.fif)", body):
                exec(code, {})


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_one_title_and_short_lines(page):
    text = FENCE.sub("", page.read_text())
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    long = [line for line in text.splitlines() if len(line) > 100 and not line.startswith("|")
            and "](" not in line]
    assert not long
