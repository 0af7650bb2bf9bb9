"""What may import what: the arrows between the rooms, and models on a bare GPU machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import numpy as np
from scipy.sparse.csgraph import connected_components

from neurofm import models, published
from neurofm.downstream import baselines, tasks
from neurofm.preprocessing import readers

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("neurofm", "preprocessing", "pretrain", "downstream")

# What a machine that only trains or runs models need not have.
ABSENT = ("mne", "mne_bids", "nilearn", "nibabel", "datasets", "flwr", "pandas", "pyarrow",
          "sklearn", "pyriemann", "matplotlib", "jsonargparse", "accelerate")  # fmt: skip

BARE = f"""
import importlib, pkgutil, sys

class Without:
    # A finder of modules to which the absent ones are absent.
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {ABSENT} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
for room in ("nn", "tokenizers", "models"):
    package = importlib.import_module(f"neurofm.{{room}}")
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"neurofm.{{room}}.{{found.name}}")

import neurofm, torch
from transformers import AutoConfig, AutoModel
assert AutoConfig.for_model("neurofm_brain_tokenizer").n_codes == 512
tokenizer = neurofm.BrainTokenizer(neurofm.BrainTokenizerConfig(
    window_length=64, n_filters=4, ratios=(4, 4), dim=16, n_sources=4, n_codes=16, n_levels=2))
batch = neurofm.Batch(torch.randn(2, 5, 128), torch.randn(2, 5, 6), torch.zeros(2, 5).long(),
                      torch.ones(2, 5).bool())
loss, metrics = tokenizer(batch)
loss.backward()
assert tokenizer.encode(batch).ids.shape[-1] == 2
print(sorted(name for name in sys.modules if name.startswith("neurofm.data.")))
"""


def test_models_need_no_readers_and_no_tables():
    """neurofm.nn, .tokenizers and .models import, train and encode with torch, transformers,
    safetensors, numpy, einops, jaxtyping and wrapt alone; of neurofm.data they take what they are
    given (batch), and what says what that is (sensors, contract)."""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    needed = ["neurofm.data.base_contract", "neurofm.data.batch", "neurofm.data.contract",
              "neurofm.data.contract_file", "neurofm.data.contract_words", "neurofm.data.contracts",
              "neurofm.data.fmri_contract", "neurofm.data.pair_batch",
              "neurofm.data.parcel_rule", "neurofm.data.sensors", "neurofm.data.t1_contract"]
    assert done.stdout.splitlines()[-1] == str(needed)


AUTO = """
import sys
{first}
import neurofm
{then}
from transformers import AutoConfig
from neurofm.models import INDEX
folder = sys.argv[1]
for name in INDEX:
    config = AutoConfig.for_model(f"neurofm_{{name}}")
    assert config.model_type == f"neurofm_{{name}}"
    config.save_pretrained(folder)
    again, unused = AutoConfig.from_pretrained(folder, return_unused_kwargs=True, other=1)
    assert (type(again), unused) == (type(config), {{"other": 1}})
    assert type(again).__module__.startswith("neurofm."), type(again)
    try:
        AutoConfig.for_model(f"neurofm_{{name}}", no_such_key=1)
    except ValueError as error:
        assert "unknown key 'no_such_key'" in str(error), error
    else:
        raise AssertionError("accepted")
from transformers import AutoModel
config = AutoConfig.for_model("neurofm_brain_tokenizer", n_filters=4, ratios=(4, 4), dim=16)
assert type(AutoModel.from_config(config)).__name__ == "BrainTokenizer"
assert type(AutoConfig.for_model("neurofm_brain_tokenizer")) is type(config)
"""


# Torch takes longest to load and knows of nobody: each order has a process that begins with it.
ORDERS = """
import os, sys
import torch._dynamo, torch.distributed.tensor
assert "transformers" not in sys.modules
for first, then, code in eval(sys.argv[2]):
    process = os.fork()
    if process == 0:
        try:
            exec(code)
        except BaseException:
            print("of the order", [first, then], file=sys.stderr, flush=True)
            raise
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
"""


def test_auto_classes_know_ours_whatever_is_imported_first(tmp_path):
    orders = [
        ("", ""),
        ("", "from transformers import PreTrainedModel"),
        ("", "neurofm.BrainOmni"),
        ("import transformers", ""),
        ("from transformers import AutoModel", ""),
    ]
    codes = [(first, then, AUTO.format(first=first, then=then)) for first, then in orders]
    done = subprocess.run([sys.executable, "-c", ORDERS, tmp_path, repr(codes)],
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_hands_data_on_needs_no_torch():
    """Ingest starts it in each of its processes, and it takes seconds to load."""
    code = ("import sys; from neurofm import artifacts, cli, config, hub; "
            "from neurofm.data import corpus; print('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def modules() -> list[Path]:
    """The tracked files of the packages, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"], cwd=ROOT,
        capture_output=True, text=True, check=True).stdout.split()
    return [Path(name) for name in listed if name.split("/")[0] in PACKAGES and
            (ROOT / name).exists()]


def test_arrows_between_rooms():
    """The contracts of import-linter in pyproject.toml hold, and it has read every module."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout
    (seen,) = re.findall(r"Analyzed (\d+) files", done.stdout)
    assert int(seen) == len(modules())


# Packages that import a module by its name → the names in their index. (The public names of
# `neurofm` itself are left out: every module is inside it.)
BY_NAME = {
    "neurofm.models": {module for module, _ in models.INDEX.values()},
    "neurofm.published": set(published.INDEX.values()),
    **{package.__name__: {f"{package.__name__}.{name}" for name in names} for package, names in (
        (tasks, tasks.INDEX), (readers, readers.OWN),
        (baselines, {"recentering", *(module for module, _ in baselines.NAMES.values())}))},
}
# Decoders stand on any model of the index, and are among them.
# States are whole or sharded, and each kind is saved by way of the other's parts.
CIRCLES = [["neurofm.models", "neurofm.models.decoder", "neurofm.models.stacked",
            "neurofm.models.stacked_config", "neurofm.models.stacked_views"],
           ["neurofm.training.sharded", "neurofm.training.state"]]


def test_no_import_circle():
    """Imports inside functions and by name count; those for type checkers alone do not."""
    graph = grimp.build_graph("neurofm", cache_dir=None, exclude_type_checking_imports=True)
    names = sorted(graph.modules)
    assert len(names) == len(modules())
    assert set().union(*BY_NAME.values()) <= set(names)
    by_name = {path.parent for path in modules() if "import_module(" in (ROOT / path).read_text()}
    assert by_name - {Path("neurofm"), Path("downstream")} == {
        Path(*name.removeprefix("neurofm.").split(".")) if name.split(".")[1] in PACKAGES
        else Path(*name.split(".")) for name in BY_NAME}
    arrows = [[target in imported for target in names] for imported in (
        graph.find_modules_directly_imported_by(name) | BY_NAME.get(name, set())
        for name in names)]
    _, circle = connected_components(np.array(arrows), connection="strong")
    larger = [np.array(names)[circle == number].tolist() for number in np.unique(circle)
              if (circle == number).sum() > 1]
    assert larger == CIRCLES


def test_files_are_short():
    long = {str(path): n for path in modules()
            if (n := len((ROOT / path).read_text().splitlines())) > 400}
    assert long == {}
