"""The configuration files of the repository, with the comment that each begins with."""

from pathlib import Path

FILE = "reference/configurations.md"
ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = {
    "preprocessing": "`neurofm ingest`, `pair` and `simulate`",
    "pretrain": "`neurofm pretrain`",
    "downstream": "`neurofm finetune` and `neurofm evaluate`",
    "federated": "`neurofm federate` and Flower",
    "accelerate": "`accelerate launch` and `pretrain.sbatch`",
    "slurm": "`sbatch`",
}


def head(path: Path) -> str:
    """The comment at the beginning of a file; of a batch script without its first line."""
    lines = path.read_text().splitlines()
    found = []
    for line in lines[1:] if lines[0].startswith("#!") else lines:
        if not line.startswith("#") or line.startswith("#SBATCH"):
            break
        found.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(found)


def pages() -> dict[str, str]:
    """File → text."""
    lines = ["# Configuration files", "", _TOP, ""]
    for folder, used in FOLDERS.items():
        lines += [f"## configs/{folder}", "", f"For {used}.", ""]
        for path in sorted((ROOT / "configs" / folder).glob("*")):
            if path.suffix in (".yaml", ".sbatch"):
                lines += [f"**{path.name}**", "", "```text", head(path) or "(no comment)", "```",
                          ""]
    return {FILE: "\n".join(lines)}


_TOP = """\
A configuration file is YAML with the keys of one command. Give it by `--config FILE`; several files
are read in order, and the command line wins over all. An unknown key, a key written twice and a key
without a value are errors. What a command used is saved as `run.yaml` in the folder that it made,
and can be given to `--config` again.

The repository has these. The comment at the head of each holds the commands and the reasons.
"""
