"""How weights of sites become one: Flower's strategies by short names, with our settings."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from neurofm.limits import Count, Limit, Positive, PositiveShare, limited

from . import messages

NAMES = ("fedavg", "fedmedian", "fedtrimmedavg", "krum", "multikrum", "bulyan")


@dataclass
@limited
class Averaging:
    """How the weights of sites are combined.

    Parameters
    ----------
    strategy
        "fedavg" = mean; the others tolerate some sites that send wrong weights. For FedProx
        use fedavg and learning.proximal.
    weights
        Weight of a site: its number of "trials", or "equal".
    trimmed
        Share that fedtrimmedavg cuts off at each end.
    malicious
        Number of sites that may send wrong weights (krum, multikrum, bulyan).
    largest_change
        Reject an update that is larger than this many times the median; 0 = reject none.
    largest_share
        Largest share of the mean that one site may have by its trials; a site with more counts for
        less. Not under secure aggregation, see secure.largest_trials.
    declared
        Site → number of trials that it has declared. Larger numbers and other sites are rejected.
        Empty = what a site says in its first round.
    nodes
        Site → number of its node at the SuperLink, which stands for its key; a site prints it.
        Nobody else may use the name. Empty = a name is of the node that used it first.
    min_sites
        Number of answers below which a round fails.
    timeout_s
        Longest wait for the answers of a round, s.
    """

    strategy: Literal["fedavg", "fedmedian", "fedtrimmedavg", "krum", "multikrum",
                      "bulyan"] = "fedavg"
    weights: Literal["trials", "equal"] = "trials"
    trimmed: Annotated[float, Limit(0, 0.5, below=True)] = 0.2
    malicious: int = 1
    largest_change: float = 10.0
    largest_share: PositiveShare = 0.5
    declared: dict[str, Count] = field(default_factory=dict)
    nodes: dict[str, Annotated[int, Limit(1, 2**64)]] = field(default_factory=dict)
    min_sites: Count = 2
    timeout_s: Positive = 3600.0
    PREFIX = "averaging."

    def __post_init__(self):
        if not (self.largest_change == 0 or self.largest_change > 1):
            raise ValueError(f"averaging.largest_change must be 0 (off) or above 1, got "
                             f"{self.largest_change}")
        if len(set(self.nodes.values())) < len(self.nodes):
            raise ValueError("averaging.nodes: wanted a number of its own for each site, got one "
                             "twice")

    def check(self, n_sites: int) -> None:
        """Raise ValueError where a strategy, or a round, needs more sites than there are."""
        if self.min_sites > n_sites:
            raise ValueError(f"averaging.min_sites is {self.min_sites}, there are {n_sites} sites: "
                             f"no round could be finished")
        need = {"krum": 2 * self.malicious + 3, "multikrum": 2 * self.malicious + 3,
                "bulyan": 4 * self.malicious + 3, "fedmedian": 3, "fedtrimmedavg": 3}
        if n_sites < need.get(self.strategy, 1):
            raise ValueError(f"averaging.strategy {self.strategy} with malicious="
                             f"{self.malicious} needs {need[self.strategy]} sites, there are "
                             f"{n_sites}: lower malicious, or take fedmedian")


def build(how: Averaging, n_sites: int):
    """The Flower strategy; all sites that are connected take part in each round."""
    from flwr.serverapp import strategy as flower

    least = min(n_sites, how.min_sites)
    common = {
        "min_train_nodes": least, "min_available_nodes": least, "min_evaluate_nodes": least,
        "weighted_by_key": messages.TRIALS if how.weights == "trials" else messages.EQUAL,
    }
    more = {
        "fedavg": (flower.FedAvg, {}), "fedmedian": (flower.FedMedian, {}),
        "fedtrimmedavg": (flower.FedTrimmedAvg, {"beta": how.trimmed}),
        "krum": (flower.Krum, {"num_malicious_nodes": how.malicious}),
        "multikrum": (flower.MultiKrum, {"num_malicious_nodes": how.malicious,
                                         "num_nodes_to_select": max(1, n_sites - how.malicious)}),
        "bulyan": (flower.Bulyan, {"num_malicious_nodes": how.malicious}),
    }
    cls, settings = more[how.strategy]
    return cls(**common, **settings)
