"""Adding a tokenizer or a model means adding one file, in anybody's package."""

import pytest

from neurofm import artifacts
from tests.support.toy_package import ToyPackage, toy_package

TOKENIZER = '''
    """Samples below, near and above zero."""

    import torch

    import neurofm


    class ToySignConfig(neurofm.NeuroFMConfig):
        model_type = "neurofm_toy_sign"
        window_length = 1
        n_codes = 3

        def __init__(self, border: float = 0.5, **of_transformers):
            self.border = border
            super().__init__(**of_transformers)


    class ToySign(neurofm.Tokenizer):
        """Three levels."""

        config_class = ToySignConfig
        of_channels = True
        reads_places = False

        def __init__(self, config):
            super().__init__(config)
            self.level = torch.nn.Parameter(torch.ones(1))
            self.post_init()

        def _ids(self, signal):
            return (signal > self.config.border).long() - (signal < -self.config.border).long() + 1

        def encode(self, batch):
            ids = self._ids(batch.signal)[..., None]
            return neurofm.Tokens(ids, batch.target, batch.seed, batch.source)

        def decode(self, tokens, geometry, kind, valid, *, n_times=None):
            ids = tokens.ids if isinstance(tokens, neurofm.Tokens) else tokens
            return ((ids[..., 0] - 1) * self.level)[..., :n_times]

        def forward(self, batch):
            found = (self._ids(batch.signal) - 1) * self.level
            loss = torch.square(found - batch.signal)[batch.valid].mean()
            return loss, {"error": loss.detach()}
'''
MODEL = '''
    """How loud a window is, in a few units."""

    import torch

    import neurofm


    class ToyLoudConfig(neurofm.BackboneConfig):
        model_type = "neurofm_toy_loud"
        pools = ("mean",)

        def __init__(self, dim: int = 8, **of_transformers):
            self.dim = dim
            super().__init__(**of_transformers)

        def n_pooled(self, pool):
            return self.dim


    class ToyLoud(neurofm.Backbone):
        """Units of one sample."""

        config_class = ToyLoudConfig
        reads_places = False

        def __init__(self, config):
            super().__init__(config)
            self.units = torch.nn.Linear(1, config.dim)
            self.back = torch.nn.Linear(config.dim, 1)
            self.post_init()

        def embed(self, batch):
            return torch.tanh(self.units(batch.signal[..., None]))

        def pooled(self, batch, pool):
            return self.embed(batch).square().mean(dim=(1, 2))

        def used(self, pool):
            return [self.units]

        def layer(self, name):
            return 0, 1

        def forward(self, batch):
            loss = torch.square(self.back(self.embed(batch))[..., 0] - batch.signal).mean()
            return loss, {}
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ToyPackage:
    return toy_package(
        tmp_path_factory.mktemp("packages"), "toy_models", {"sign": TOKENIZER, "loud": MODEL},
        {"neurofm.models": {"toy_sign": "sign:ToySign", "toy_loud": "loud:ToyLoud"}})


@pytest.mark.long
def test_one_file_tokenizer(toy, planted, tmp_path):
    run, tokens = tmp_path / "tokenizer", tmp_path / "tokens"
    done = toy.neurofm("pretrain", "--model=toy_sign", f"--data={planted.corpus}", f"--out={run}",
                       "--train.steps=2", "--train.batch_windows=4", "--architecture.border=0.7")
    assert done.returncode == 0, done.stderr
    assert artifacts.open_sealed(run, "checkpoint").config["architecture"] == {"border": 0.7}
    done = toy.neurofm("tokenize", f"--data={planted.corpus}", f"--model={run}", f"--out={tokens}")
    assert done.returncode == 0, done.stderr
    assert artifacts.open_sealed(tokens, "tokens").config["shape"] == [16, 256, 1]


@pytest.mark.long
def test_one_file_model(toy, planted, tmp_path):
    run, out = tmp_path / "model", tmp_path / "results"
    done = toy.neurofm("pretrain", "--model=toy_loud", f"--data={planted.corpus}", f"--out={run}",
                       "--train.steps=2", "--train.batch_windows=4")
    assert done.returncode == 0, done.stderr
    done = toy.neurofm("finetune", f"--data={planted.corpus}", f"--model={run}", f"--out={out}",
                       "--train.steps=5")
    assert done.returncode == 0, done.stderr
    code = f"import neurofm; print(type(neurofm.load({str(out)!r}).backbone).__name__)"
    assert toy.python("-c", code).stdout.strip() == "ToyLoud"


def test_one_file_model_in_help(toy):
    said = toy.neurofm("pretrain", "--help").stdout
    assert "toy_loud, toy_sign" in " ".join(said.split())


def test_one_file_that_cannot_be_imported(planted, tmp_path):
    """Others still load; asked for by name, it is told."""
    toy = toy_package(tmp_path, "toy_broken", {"broken": "import no_such_package"},
                      {"neurofm.models": {"toy_broken": "broken:Model"}})
    done = toy.neurofm("pretrain", "--model=toy_broken", "--data=x", "--out=y")
    assert done.returncode != 0
    assert "toy_broken.broken:Model, which cannot be imported" in done.stderr
    code = f"import neurofm; print(type(neurofm.load({str(planted.backbone)!r})).__name__)"
    assert toy.python("-c", code).stdout.strip() == "BrainOmni"
