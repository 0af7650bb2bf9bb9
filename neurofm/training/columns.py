"""Lines of a training on the terminal: columns under their names, at most 100 characters wide.

`log.jsonl` has every number; a line has those that fit, in the order in which the model gives them.
"""

from ..progress import clock

WIDTH = 100
# After the model's own.
_LESS = ("grad_norm", "lr", "windows_per_s", "data_wait", "tokens_per_s", "tflop_per_s",
         "share_of_peak", "memory_gb", "reserved_gb", "rss_gb", "energy_wh")
_AT_LEAST = 10  # of a column: "-1.095e-07"


class Columns:
    """Remembers its columns: validation stands under the numbers of training.

    Parameters
    ----------
    steps
        Steps of the whole run; 0 = not known.
    """

    def __init__(self, steps: int = 0) -> None:
        self.names: list[str] = []
        self.of = f" of {steps}" if steps else ""

    def lines(self, step: int, values: dict[str, float], left_s: float | None = None) -> list[str]:
        """The line of a step, under the names of its columns where these are new.

        Parameters
        ----------
        step
            Number of finished steps.
        values
            The numbers; those of a validation are named val/…
        left_s
            Seconds left in this training; None = not known.
        """
        held_out = all(name.startswith("val/") for name in values)
        values = {name.removeprefix("val/"): value for name, value in values.items()}
        new = not set(self.names) & set(values)
        if new:
            self.names = _fitting(list(values), len(self.of))
        cells = [_cell(values.get(name), name) for name in self.names]
        left = "" if left_s is None else clock(left_s)
        line = _line(f"{step:>7}{self.of}", "val" if held_out else "train", cells, left)
        if not new:
            return [line]
        heads = [f"{name:>{max(_AT_LEAST, len(name))}}" for name in self.names]
        return [_line(f"   step{'':{len(self.of)}}", "on", heads, "left"), line]


def _line(step: str, on: str, cells: list[str], left: str) -> str:
    return f"{step}  {on:<5}{''.join(f' {cell}' for cell in cells)}  {left:>8}".rstrip()


def _fitting(names: list[str], taken: int = 0) -> list[str]:
    """The names whose columns fit a line; loss first. taken: characters that are needed besides."""
    ordered = sorted(names, key=lambda name: (name != "loss", name in _LESS))
    found, room = [], WIDTH - taken - len(_line(f"{'':7}", "", [], "x" * 8))
    for name in ordered:
        width = max(_AT_LEAST, len(name)) + 1
        if width <= room:
            found.append(name)
            room -= width
    return found


def _cell(value: float | None, name: str) -> str:
    return f"{'' if value is None else format(value, '.4g'):>{max(_AT_LEAST, len(name))}}"
