"""Loading BrainOmni as published: other sizes, other files, and weights that do not fit."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurofm import published
from neurofm.models.brainomni import BrainOmni
from neurofm.nn.attention import rotary_table
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer


@pytest.fixture
def config(released) -> dict:
    return json.loads((released("brainomni") / "config.json").read_text())


@pytest.fixture
def weights(released) -> dict[str, torch.Tensor]:
    return load_file(released("brainomni") / "weights.safetensors")


def write(folder, config, weights, *, published: bool = False):
    """A folder as the golden one, or (`published`) as on the Hub."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / ("model_cfg.json" if published else "config.json")).write_text(json.dumps(config))
    if published:
        torch.save(weights, folder / "BrainOmni.pt")
    else:
        save_file(weights, folder / "weights.safetensors")
    return folder


def transformer(dim: int, n_blocks: int, n_in: int, n_out: int) -> dict[str, torch.Tensor]:
    """Random weights of their transformer under their names."""
    shapes = {"mask_token": (n_in,), "predict_head.weight": (n_out, dim),
              "predict_head.bias": (n_out,)}  # fmt: skip
    if dim != n_in:
        shapes |= {"projection.weight": (dim, n_in), "projection.bias": (dim,)}
    half = dim // 2
    for i in range(n_blocks):
        for part in ("time_attn", "spatial_attn"):
            shapes |= {f"blocks.{i}.{part}.qkv.weight": (3 * half, half),
                       f"blocks.{i}.{part}.qkv.bias": (3 * half,),
                       f"blocks.{i}.{part}.proj.weight": (half, half),
                       f"blocks.{i}.{part}.proj.bias": (half,)}  # fmt: skip
        shapes |= {f"blocks.{i}.pre_attn_norm.weight": (dim,),
                   f"blocks.{i}.pre_ff_norm.weight": (dim,),
                   f"blocks.{i}.ff.layer.0.weight": (4 * dim, dim),
                   f"blocks.{i}.ff.layer.0.bias": (4 * dim,),
                   f"blocks.{i}.ff.layer.2.weight": (dim, 4 * dim),
                   f"blocks.{i}.ff.layer.2.bias": (dim,)}  # fmt: skip
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def tables(config: dict, real: bool, n: int = 240) -> dict[str, torch.Tensor]:
    """Rotary tables under their names."""
    cos, sin = rotary_table(n, config["lm_dim"] // 2)
    return {f"blocks.{i}.time_attn.rope_embedding_layer.rotate":
            cos.clone() if real else torch.complex(cos, sin) for i in range(config["lm_depth"])}


def of_tokenizer(weights):
    return {name: value for name, value in weights.items() if name.startswith("tokenizer.")}


@pytest.mark.parametrize(
    ("dim", "n_blocks", "n_used"), [(None, 1, 4), (48, 2, 2), (96, 1, 1), (None, 2, None)]
)
def test_other_sizes(tmp_path, config, weights, dim, n_blocks, n_used):
    dim = config["n_dim"] if dim is None else dim  # as wide as the tokenizer: no projection
    n_out = config["codebook_size"] * (n_used or config["num_quantizers"])
    config |= {"lm_dim": dim, "lm_depth": n_blocks, "num_quantizers_used": n_used}
    more = transformer(dim, n_blocks, config["n_dim"], n_out)
    model = published.load("brainomni", write(tmp_path / "m", config, of_tokenizer(weights) | more))
    ids = torch.zeros(1, config["n_neuro"], 4, config["num_quantizers"], dtype=torch.int64)
    logits = model.logits(ids)
    assert logits.shape[-2:] == (n_used or config["num_quantizers"], config["codebook_size"])
    assert torch.equal(model.mask_token, more["mask_token"])


def test_as_on_the_hub(tmp_path, config, weights):
    """`.pt` beside model_cfg.json in a folder of variants, with a rotary table of real numbers."""
    weights |= tables(config, real=True)
    write(tmp_path / "tiny", config, weights, published=True)
    model = published.load("brainomni", tmp_path, variant="tiny")
    assert isinstance(model, BrainOmni)
    assert not model.training
    assert (model.contract.geometry, model.contract.window_s) == ("centred", 30.0)
    assert "240 rows of cosines" in model.remarks[0]


def test_tokenizer_alone(tmp_path, config, weights):
    alone = {k: v for k, v in config.items()
             if not k.startswith("lm_") and k not in ("mask_ratio", "num_quantizers_used")}
    stripped = {k.removeprefix("tokenizer."): v for k, v in of_tokenizer(weights).items()}
    tokenizer = published.load("brainomni", write(tmp_path / "t", alone, stripped, published=True))
    assert isinstance(tokenizer, BrainTokenizer)
    assert tokenizer.quantizer.started
    inside = published.load("brainomni", write(tmp_path / "m", config, weights)).tokenizer
    for name, value in inside.state_dict().items():
        assert torch.equal(tokenizer.state_dict()[name], value), name


def test_codes_projected_to_another_width(tmp_path, config, weights):
    config["codebook_dim"] = 8
    for level in range(config["num_quantizers"]):
        layer = f"tokenizer.quantizer.rvq.layers.{level}."
        for name in ("embed", "embed_avg"):
            weights[f"{layer}_codebook.{name}"] = torch.randn(config["codebook_size"], 8)
        weights |= {f"{layer}project_in.weight": torch.randn(8, config["n_dim"]),
                    f"{layer}project_in.bias": torch.randn(8),
                    f"{layer}project_out.weight": torch.randn(config["n_dim"], 8),
                    f"{layer}project_out.bias": torch.randn(config["n_dim"])}  # fmt: skip
    model = published.load("brainomni", write(tmp_path / "m", config, weights))
    wanted = weights["tokenizer.quantizer.rvq.layers.1.project_out.bias"]
    assert torch.equal(model.tokenizer.quantizer.up[1].bias, wanted)


def test_codebook_statistics_continue_where_training_left_off(tmp_path, config, weights):
    model = published.load("brainomni", write(tmp_path / "m", config, weights))
    quantizer = model.tokenizer.quantizer
    torch.testing.assert_close(quantizer.sums, quantizer.codebook * quantizer.uses[..., None])
    assert torch.equal(quantizer.uses[2],
                       weights["tokenizer.quantizer.rvq.layers.2._codebook.cluster_size"])


@pytest.mark.parametrize(
    "name",
    ["tokenizer.encoder.neuros", "tokenizer.quantizer.rvq.layers.2._codebook.embed",
     "tokenizer.quantizer.rvq.layers.0._codebook.cluster_size", "blocks.1.ff.layer.0.bias"],
)
def test_a_missing_weight_is_an_error(tmp_path, config, weights, name):
    del weights[name]
    with pytest.raises(ValueError, match="1 weights do not fit: nothing for our"):
        published.load("brainomni", write(tmp_path / "m", config, weights))


@pytest.mark.parametrize(
    "name",
    ["stranger", "tokenizer.quantizer.rvq.layers.4._codebook.embed",
     "tokenizer.quantizer.rvq.layers.0._codebook.strange", "blocks.3.pre_ff_norm.weight"],
)
def test_an_unexpected_weight_is_an_error(tmp_path, config, weights, name):
    weights[name] = torch.zeros(64, 32)
    with pytest.raises(ValueError, match=re.escape(f"1 weights do not fit: unexpected {name}")):
        published.load("brainomni", write(tmp_path / "m", config, weights))


def test_a_mis_shaped_weight_is_an_error(tmp_path, config, weights):
    weights["mask_token"] = torch.zeros(31)
    with pytest.raises(ValueError, match=r"mask_token is \[31\], wanted \[32\]"):
        published.load("brainomni", write(tmp_path / "m", config, weights))


def test_other_rotary_frequencies_are_an_error(tmp_path, config, weights):
    weights["blocks.0.time_attn.rope_embedding_layer.freqs"] *= 2
    with pytest.raises(ValueError, match="are not the frequencies"):
        published.load("brainomni", write(tmp_path / "m", config, weights))


def test_brainomni_cosine_table_is_told_from_a_whole_one(tmp_path, config, weights):
    whole = write(tmp_path / "whole", config, weights | tables(config, real=False), published=True)
    assert published.load("brainomni", whole).remarks == ()
    name = "blocks.0.time_attn.rope_embedding_layer.rotate"
    for case, wrong in (("other", torch.rand(240, config["lm_dim"] // 4)),
                        ("zero", torch.zeros(240, config["lm_dim"] // 4).cfloat())):
        folder = write(tmp_path / case, config, weights | {name: wrong}, published=True)
        with pytest.raises(ValueError, match="no table of rotations, nor of their cosines"):
            published.load("brainomni", folder)
    mixed = tables(config, real=True) | {name: tables(config, real=False)[name]}
    with pytest.raises(ValueError, match="of unlike kinds"):
        published.load("brainomni", write(tmp_path / "mixed", config, weights | mixed,
                                          published=True))


def test_untrained_codebooks_are_an_error(tmp_path, config, weights):
    weights["tokenizer.quantizer.rvq.layers.1._codebook.inited"].zero_()
    with pytest.raises(ValueError, match="never trained"):
        published.load("brainomni", write(tmp_path / "m", config, weights))


def test_an_unknown_argument_is_an_error(tmp_path, config, weights):
    with pytest.raises(ValueError, match=r"unknown arguments .*lm_magic"):
        published.load("brainomni", write(tmp_path / "m", config | {"lm_magic": 1}, weights))


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        published.load("brainomni", tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"neither model_cfg\.json nor config\.json"):
        published.load("brainomni", tmp_path)
    with pytest.raises(ValueError, match="variant must be one of"):
        published.load("brainomni", "OpenTSLab/BrainOmni")
