"""What a masked model of fMRI has learned, for people to look at: its graph of regions, its states
of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans

from neurofm.data.corpus import Corpus
from neurofm.models.protocol import RegionModel
from neurofm.pages.figure import COLORS, pyplot, save

N_STATES = 4
_EDGES = 0.99  # of the edges, the strongest hundredth is drawn
GRAPH = (f"The strongest {1 - _EDGES:.0%} of the edges of the model's static graph. It was learned "
         f"for filling in, from where regions lie alone: it is the same for every person, and no "
         f"measure of anybody's connectivity.")


def draw(
    out: Path, model: RegionModel, corpus: Corpus, training: np.ndarray, shown: np.ndarray
) -> list[tuple[str, Path, str]]:
    """Both pictures, as far as there is something to see: (heading, PNG, caption)."""
    found = []
    graph = graph_of(model, corpus, int(shown[0]))
    if graph is not None:
        draw_graph(out / "graph.png", *graph)
        found.append(("Graph of regions", out / "graph.png", GRAPH))
    states = sequences(model, corpus, training, shown)
    if states is not None:
        draw_sequences(out / "states.png", states)
        found.append(("States over time", out / "states.png",
                      states_in_words(model.config.segment_s)))
    return found


@dataclass(frozen=True, eq=False)
class Sequences:
    """States of runs, grouped."""

    names: list[str]  # of the runs
    # number of the group of each segment, −1 where too little was measured and at both ends; groups
    # are numbered by how often they come
    state: list[Int[np.ndarray, " segment"]]
    segment_s: float  # seconds
    share: Float[np.ndarray, " group"]  # of the segments of the training runs in each group


@torch.no_grad()
def sequences(
    model: RegionModel, corpus: Corpus, training: np.ndarray, shown: np.ndarray, at_once: int = 8
) -> Sequences | None:
    """Groups of states are found by k-means on the training windows; others are put to the nearest.
    None where the model has no states, or no training window a segment to be grouped.

    training, shown: numbers of windows.
    """
    whole = corpus.contract.window_s is None

    def of(windows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(windows), at_once):
            batch = corpus.batch(windows[start : start + at_once], geometry="head")
            # In context states also say where in the scan they stand: at its ends, mostly.
            given = model.states(batch, in_context=False)
            if given is None:
                return []
            states, valid = given
            found += [(one.numpy(), _inside(there.numpy()) if whole else there.numpy())
                      for one, there in zip(states, valid, strict=True)]
        return found

    parts = [states[valid] for states, valid in of(training)]
    if not sum(map(len, parts)):
        return None
    known = np.concatenate(parts)
    groups = KMeans(min(N_STATES, len(known)), n_init=4, random_state=0)
    groups.fit(known.astype(np.float64))
    count = np.bincount(groups.labels_)
    rank = np.argsort(np.argsort(-count, kind="stable"))
    state = []
    for states, valid in of(shown):
        number = np.full(len(states), -1)
        if valid.any():
            number[valid] = rank[groups.predict(states[valid].astype(np.float64))]
            number = number[: np.flatnonzero(valid)[-1] + 1]
        state.append(number)
    whose = corpus.recordings.iloc[corpus.windows["recording"].to_numpy()[shown]]
    start_s = corpus.windows["start_s"].to_numpy()[shown]
    names = [" ".join(str(part) for part in (row.subject, row.session, row.task, row.run)
                      if part is not None) + (f", {at:g} s" if at else "")
             for row, at in zip(whose.itertuples(), start_s.tolist(), strict=True)]
    return Sequences(names, state, model.config.segment_s,
                     np.sort(count)[::-1] / count.sum())


def _inside(valid: np.ndarray) -> np.ndarray:
    """Without the first and the last segment, which filters bend: they would be groups of their
    own (a band-pass holds both ends of a scan at 0)."""
    at = np.flatnonzero(valid)
    inside = valid.copy()
    inside[at[[0, -1]] if len(at) else []] = False
    return inside


def states_in_words(segment_s: float) -> str:
    """A caption."""
    return (f"The model's states of segments of {segment_s:g} s in {N_STATES} groups, which were "
            f"found in training people (k-means; in brackets the share of their segments). What a "
            f"group means is not known. Of whole scans the first and the last segment are left "
            f"out: filters bend the ends.")


def draw_sequences(path: str | Path, found: Sequences) -> None:
    """A ribbon a run, over time."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.32 * len(found.names)), layout="constrained")
    for row, number in enumerate(found.state):
        for k in range(len(found.share)):
            spans = [(i * found.segment_s, found.segment_s) for i in np.flatnonzero(number == k)]
            axis.broken_barh(spans, (row - 0.4, 0.8), color=COLORS[k], lw=0)
    axis.set(yticks=range(len(found.names)), xlabel="time (s)", xlim=(0, None),
             ylim=(len(found.names) - 0.4, -0.6))
    axis.set_yticklabels(found.names, fontsize=7)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLORS[k],
                             label=f"state {k + 1} ({share:.0%})")
               for k, share in enumerate(found.share)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(found.share),
                  fontsize=8)
    save(figure, path)


@torch.no_grad()
def graph_of(model: RegionModel, corpus: Corpus, window: int) -> tuple[
        Float[np.ndarray, "region region"], Float[np.ndarray, "region 3"]] | None:
    """(Weights, centers of the regions in millimeters) of one window; None without a graph.

    A weight is what either region takes from the other, whichever is more.
    """
    batch = corpus.batch(np.array([window]), geometry="head")
    found = model.graph(batch.geometry, batch.valid)
    if found is None:
        return None
    weight = found[0].double().numpy()
    weight = np.maximum(weight, weight.T)
    np.fill_diagonal(weight, 0.0)
    # Not of `geometry`, whose origin is the middle of a head.
    return weight, corpus.layout(window).position.astype(float) * 1000


def draw_graph(
    path: str | Path, weight: Float[np.ndarray, "region region"],
    center_mm: Float[np.ndarray, "region 3"],
) -> None:
    """The graph on a glass brain."""
    from nilearn import plotting

    figure = pyplot().figure(figsize=(9, 3.4))
    least = np.quantile(weight[np.triu_indices(len(weight), 1)], _EDGES)
    plotting.plot_connectome(
        np.where(weight >= least, weight, 0.0), center_mm,
        node_size=6, node_color="0.3", edge_cmap="viridis", edge_vmin=0, edge_vmax=weight.max(),
        edge_kwargs={"lw": 1.0}, figure=figure, colorbar=True,
    )
    save(figure, path)
