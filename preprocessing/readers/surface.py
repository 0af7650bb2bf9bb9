"""What readers of surfaces share: regions as means over vertices, centers from a mesh."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from neurofm.data.recording import Recording
from neurofm.data.sensors import KINDS, Sensors

from .errors import ReadError


class Parts:
    """Parts of the brain (a hemisphere, a nucleus) are added one by one; regions of one name in
    several parts are one."""

    def __init__(self):
        self.total: dict[str, np.ndarray] = {}
        self.place: dict[str, np.ndarray] = {}
        self.count: dict[str, int] = {}

    def add(
        self, names: Iterable[str], label: np.ndarray, signal: Float[np.ndarray, "grain volume"],
        place_mm: Float[np.ndarray, "grain 3"], measured: Bool[np.ndarray, " volume"] | None = None,
    ) -> None:
        """names: region of each code in `label` (0 = none), in ascending order of the codes. Grains
        (vertices, voxels) without a signal, as of the medial wall, do not count. measured: volumes
        that hold a number anywhere, by default in this part; the others were scrubbed, and stay
        NaN."""
        held = signal[:, np.isfinite(signal).any(axis=0) if measured is None else measured]
        there = (label != 0) & np.isfinite(held).all(axis=1) & (held.std(axis=1) > 0)
        codes = np.setdiff1d(np.unique(label), [0])
        for name, code in zip(names, codes.tolist(), strict=True):
            rows = there & (label == code)
            self.total[name] = self.total.get(name, 0.0) + signal[rows].sum(axis=0, dtype=float)
            self.place[name] = self.place.get(name, 0.0) + place_mm[rows].sum(axis=0)
            self.count[name] = self.count.get(name, 0) + int(rows.sum())

    def recording(self, path: Path, t_r: float, lost_as: str) -> Recording:
        """lost_as: attribute that names regions without a grain."""
        names = [name for name, n in self.count.items() if n]
        if not names:
            raise ReadError(path, "no region of images.atlas holds a vertex with a signal: they "
                                  "are of different meshes, or the data are empty")
        lost = [name for name, n in self.count.items() if not n]
        place = np.array([self.place[name] / self.count[name] for name in names]) / 1000
        signal = np.array([self.total[name] / self.count[name] for name in names])
        sensors = Sensors(tuple(names), np.full(len(names), KINDS.index("roi")),
                          place.astype(np.float32), np.zeros((len(names), 3)))
        return Recording(signal.astype(np.float32), 1 / t_r, sensors, source=str(path),
                         image=str(path), attributes={lost_as: "\t".join(lost)} if lost else {})


def other_side(file: str | Path) -> Path:
    """The right hemisphere's file of the left one's."""
    path = Path(file)
    for left, right in (("hemi-L", "hemi-R"), ("lh.", "rh."), (".L.", ".R."), ("_left", "_right")):
        if left in path.name:
            return path.with_name(path.name.replace(left, right))
    return path


def coordinates(path: Path, mesh: str, key: str = "images.mesh"
                ) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 3"]]:
    """Places in mm of the vertices of both hemispheres, of the left one's file."""
    from nilearn.surface import load_surf_mesh

    files = (Path(mesh), other_side(mesh))
    for file in files:
        if not mesh or not file.is_file() or files[0] == files[1]:
            raise ReadError(path, f"{key}: wanted the left hemisphere's mesh (…hemi-L…surf.gii), "
                                  f"with the right one beside it, for where regions lie; got "
                                  f"{mesh!r}")
    left, right = (np.asarray(load_surf_mesh(file).coordinates, dtype=float) for file in files)
    return left, right
