"""
04. From tokens to BrainOmni
============================

BrainOmni is trained like a language model with gaps: some tokens are hidden, and it names them from
the others, in time and between latent sources. This example tokenizes a corpus, trains a tiny
BrainOmni and asks what it learned, in tokens and in signals.
"""

# %%
# Corpus, tokenizer, tokens
# -------------------------
#
# As in example 03, with eight subjects, of whom two are held out for validation. Every stage reads
# the sealed folder of the one before, and names it as its parent.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
neurofm.command("simulate --out archive --subjects 8 --minutes 1 --always [] --devices [eeg19]",
                cwd=work)
neurofm.command(
    "ingest archive --out corpus --contract.sfreq 128 --contract.lowpass_hz 45 "
    "--contract.window_s 4 "
    "--splits.fractions [1,0,0] --splits.validation [sub-007,sub-008]", cwd=work)
neurofm.command(
    "pretrain --data corpus --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 256, spatial: leadfield, ratios: [8, 4], n_filters: 4, "
    "dim: 24, n_levels: 2, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 60 --train.batch_windows 4 --train.lr 1e-2 --train.beta2 0.99", cwd=work)
neurofm.command("tokenize --data corpus --model tokenizer --out tokens", cwd=work)

# %%
# The model
# ---------

neurofm.command(
    "pretrain --data tokens --tokenizer tokenizer --out brainomni --model brainomni "
    "--architecture '{dim: 48, n_heads: 4, n_blocks: 2, scaled_codes: true, neighbors: 5, "
    "head: codebook}' --train.steps 90 --train.batch_windows 8 --train.lr 4e-3 "
    "--train.validate_every 15", cwd=work)
neurofm.command("show brainomni", cwd=work)

# %%
# What it learned, in tokens
# --------------------------
#
# The score to beat is not one in 64. Tokens are not equally frequent, and always naming the most
# frequent one is right more often than that.

lines = [json.loads(line) for line in (work / "brainomni" / "log.jsonl").read_text().splitlines()]
lines = [line for line in lines if "val/accuracy_0" in line]
last = lines[-1]
for level in range(2):
    print(f"level {level}: {last[f'val/accuracy_{level}']:.3f} of the hidden tokens of subjects it "
          f"was not trained on; the most frequent token: {last[f'val/chance_{level}']:.3f}; "
          f"one in 64: {1 / 64:.3f}")

# %%
# What it learned, in signals
# ---------------------------
#
# We hide tokens of the two validation subjects at random, let the model fill them in, decode, and
# correlate with what the true tokens decode to. Beside it stands the same with each hidden token
# replaced by a random one.

model = neurofm.load(work / "brainomni")
corpus, tokens = neurofm.Corpus.open(work / "corpus"), neurofm.TokenSet.open(work / "tokens")
windows = corpus.select("validation")
batch, given = corpus.batch(windows), tokens.batch(tokens.select("validation"))
generator = torch.Generator().manual_seed(0)


def decoded(ids):
    return model.tokenizer.decode(ids, batch.geometry, batch.kind, batch.valid)


def similarity(one, other):
    """Pearson r of each window, mean over channels."""
    return torch.nn.functional.cosine_similarity(
        one - one.mean(-1, keepdim=True), other - other.mean(-1, keepdim=True), dim=-1).mean(1)


shares = [0.1, 0.25, 0.5, 0.75, 0.9]
filled, drawn = [], []
with torch.no_grad():
    whole = decoded(given.ids)
    for share in shares:
        hidden = torch.rand(given.ids.shape[:3], generator=generator) < share
        named = model.fill_in(given, hidden).argmax(-1)
        other = torch.randint(64, given.ids.shape, generator=generator)
        for found, ids in ((filled, named), (drawn, other)):
            found.append(similarity(decoded(torch.where(hidden[..., None], ids, given.ids)), whole))
for share, one, other in zip(shares, filled, drawn, strict=True):
    print(f"{share:.0%} hidden: r = {one.mean():.3f} filled in by the model, {other.mean():.3f} "
          f"by random tokens")

# %%
# Dots are means over the windows of both subjects, bands are one standard deviation of windows.

figure.style()
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for level, color in zip(range(2), figure.COLORS, strict=False):
    steps = [line["step"] for line in lines]
    left.plot(steps, [line[f"val/accuracy_{level}"] for line in lines], "o-", ms=4, color=color,
              label=f"level {level}")
    left.axhline(last[f"val/chance_{level}"], color=color, ls=":")
left.plot([], [], color="0.4", ls=":", label="most frequent token")
left.set(xlabel="Step", ylabel="Hidden tokens named correctly (share)", ylim=(0, None),
         title="Subjects it was not trained on")
left.legend()
for values, color, name in ((filled, figure.COLORS[0], "filled in by BrainOmni"),
                            (drawn, figure.COLORS[1], "random tokens")):
    mean = np.array([value.mean() for value in values])
    std = np.array([value.std() for value in values])
    right.fill_between(shares, mean - std, mean + std, color=color, alpha=0.15, lw=0)
    right.plot(shares, mean, "o-", ms=4, color=color, label=name)
right.set(xlabel="Share of tokens hidden", ylabel="Pearson r with all tokens", ylim=(-0.05, 1.02),
          title="Signals decoded from completed tokens")
right.legend(loc="lower left")
plt.show()

# %%
# Two subjects and two minutes of training say that it works, not how well. On real data compare
# with an autoregressive model of the signal: ``neurofm evaluate next-token`` does, for MEG-GPT.
