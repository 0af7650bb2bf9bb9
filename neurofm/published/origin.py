"""Where a family's published weights come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a family's weights come from, and what they have seen."""

    repo: str  # on the Hugging Face Hub
    # folders in it, each with one model; none = the weights are not on the Hub, and repo is on
    # GitHub
    variants: tuple[str, ...]
    license: str  # license, paper: of the weights, and what describes them
    paper: str
    # what they were trained on, as far as that was published, by the names the sets are known by
    datasets: tuple[str, ...]
    note: str  # what is not known of it
    bare: bool = False  # weights may lie without a configuration
