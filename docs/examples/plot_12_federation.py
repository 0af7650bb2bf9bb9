"""
12. A federation of three sites
===============================

Three sites may not share recordings. Each trains on its own subjects, and only weights travel: a
server averages them after every round (Flower). Here every site has the same pretrained encoder,
whose features mean the same for every cap, and the sites train one classifier on them together.
This example runs the federation on one machine, beside each site alone and beside everything in one
place.
"""

# %%
# Three sites
# -----------
#
# Other caps and other subjects; the same task, imagined movement of the left or right hand.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import neurofm
from neurofm.pages import figure

work = Path(tempfile.mkdtemp())
contract = ("--contract.sfreq 100 --contract.window_s 4 --contract.highpass_hz 8 "
            "--contract.lowpass_hz 30 --contract.notch_hz [] --splits.fractions [1,0,0]")
sites = {"clinic": ("eeg19", 501), "lab": ("eeg32", 521), "ward": ("eeg64", 541)}
for name, (cap, first) in sites.items():
    neurofm.command(f"simulate --out archives/{name} --minutes 1.5 --reactivity 1.5 "
                    f"--always [{cap}] --devices [] --devices_per_subject 0 "
                    f"--first_subject {first} --subjects 5", cwd=work)
    neurofm.command(
        f"ingest archives/{name} --out corpora/{name} {contract} --label.source event "
        "--label.mapping '{left: left, right: right}'", cwd=work)

# %%
# An encoder
# ----------
#
# Pretrained for seconds on eight other subjects, without labels (examples 03 and 04).

neurofm.command("simulate --out archive --subjects 8 --minutes 1 --always [] --devices [eeg32]",
                cwd=work)
neurofm.command(f"ingest archive --out corpus {contract}", cwd=work)
neurofm.command(
    "pretrain --data corpus --out tokenizer --model brain_tokenizer "
    "--architecture '{window_length: 200, spatial: leadfield, ratios: [4, 4], n_filters: 4, "
    "dim: 24, n_levels: 2, n_codes: 64, phase: 0, quantize_from: 0.3}' "
    "--train.steps 40 --train.batch_windows 4 --train.lr 1e-2 --train.beta2 0.99", cwd=work)
neurofm.command("tokenize --data corpus --model tokenizer --out tokens", cwd=work)
neurofm.command(
    "pretrain --data tokens --tokenizer tokenizer --out brainomni --model brainomni "
    "--architecture '{dim: 32, n_heads: 4, n_blocks: 2, scaled_codes: true, neighbors: 5, "
    "head: codebook}' --train.steps 20 --train.batch_windows 8 --train.lr 4e-3", cwd=work)

# %%
# Federate
# --------
#
# Five folds: in each, one subject of every site is held out and judged at the end. They had no part
# in any weight or statistic.

neurofm.command(
    "federate --sites '{clinic: corpora/clinic, lab: corpora/lab, ward: corpora/ward}' "
    "--learning.model brainomni --learning.rounds 4 --learning.protocol.folds 5 "
    "--learning.architecture '{recentered: true}' --learning.train.lr 4e-3 --out results", cwd=work)

# %%
# What it is worth
# ----------------

table = pd.read_csv(work / "results" / "sites.tsv", sep="\t")
print(table[["site", "method", "people", "balanced_accuracy", "low", "high"]]
      .to_string(index=False, float_format="{:.2f}".format))
print("\n" + neurofm.Results.load(work / "results").summary)

rounds = pd.read_csv(work / "results" / "rounds.tsv", sep="\t")
rounds = rounds[rounds["method"] == "federated"]
shards = sum(path.stat().st_size for path in (work / "corpora").rglob("*.arrow"))
print(f"\ntraveled in a round, to and from a site: {rounds['bytes_down'].max() / 1e3:.1f} and "
      f"{rounds['bytes_up'].max() / 1e3:.1f} kB; recordings that stayed: {shards / 1e6:.0f} MB")

# %%
# Each small dot is a subject who was held out, large symbols are means, lines 95 % intervals over
# subjects. With five subjects a site the intervals are wide, and a site's own difference
# says little; look at *all sites*, and at whether its gain excludes 0.

figure.style()
looks = {"local": ("0.45", "s", "each site alone"),
         "federated": (figure.COLORS[0], "o", "federated"),
         "pooled": (figure.COLORS[2], "D", "all in one place")}
people = pd.read_csv(work / "results" / "people.tsv", sep="\t")
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[3, 2], layout="constrained")
names = [*sites, "all sites"]
for k, (method, (color, marker, words)) in enumerate(looks.items()):
    for place, name in enumerate(names):
        row = table[(table["site"] == name) & (table["method"] == method)].iloc[0]
        at = place + 0.25 * (k - 1)
        left.plot([at, at], [row["low"], row["high"]], color=color, lw=2)
        left.plot(at, row["balanced_accuracy"], marker, color=color, ms=8, mec="white",
                  label=words if place == 0 else None)
        own = people[(people["site"] == name) & (people["method"] == method)]
        left.plot(np.full(len(own), at + 0.08), own["balanced_accuracy"], ".", color=color,
                  alpha=0.5)
left.axhline(0.5, color="0.5", ls="--", lw=1)
left.text(3.45, 0.505, "chance", ha="right", va="bottom", color="0.4")
left.set_xticks(range(4), [*(f"{name}\n{cap}" for name, (cap, _) in sites.items()), "all sites"])
left.set(ylabel="Balanced accuracy", ylim=(0.3, 1.02), xlim=(-0.5, 3.5),
         title="Subjects who were held out")
left.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 0))

loss = rounds.groupby("round")[["loss"]].mean()
for fold, part in rounds.groupby("fold"):
    right.plot(part["round"], part["loss"], color=figure.COLORS[0], alpha=0.35, lw=1,
               label="each fold" if fold == 0 else None)
right.plot(loss.index, loss["loss"], "o-", ms=4, color=figure.COLORS[0], label="mean")
right.axhline(np.log(2), color="0.5", ls="--", lw=1)
right.text(rounds["round"].max(), np.log(2) - 0.004, "chance", va="top", ha="right", color="0.4")
right.set(xlabel="Round", ylabel="Cross-entropy (nats)", title="Training loss over sites",
          xticks=loss.index)
right.legend()
plt.show()

# %%
# What travels still tells something about the subjects; ``--privacy`` and ``--secure.on true``
# bound it. The same apps run as separate processes with TLS and keys: see ``configs/federated/``.
