"""Sensors: what measured each row of a recording, where, in which direction and unit.

A layout is data, not a fixed channel list: models read positions and orientations, so any montage,
any helmet and any atlas (a parcel is a sensor of kind `roi` at its center) is treated alike.
Coil conventions follow MNE's `info["chs"][i]["loc"]` (MNE manual, "The sensor locations").
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import json_file

KINDS = ("eeg", "mag", "planar_grad", "axial_grad", "roi")
MEG_KINDS = ("mag", "planar_grad", "axial_grad")
UNITS = {"eeg": "V", "mag": "T", "planar_grad": "T/m", "axial_grad": "T", "roi": "1"}

# MNE's head frame has its origin between the ears; the middle of the head is about 4 cm above.
HEAD_CENTER_M = np.array([0.0, 0.0, 0.04], dtype=np.float32)
HEAD_RADIUS_M = 0.1

# FIFF coil types of axial gradiometers (CTF, KIT/Ricoh, 4D …): MNE names such channels `mag`.
_AXIAL_COILS = frozenset({4, 2001, 4002, 5001, 6001, 7001, 7501, 9001, 9101, 9102})

GeometryRule = Literal["head", "centred"]


@dataclass(frozen=True, eq=False)
class Sensors:
    """An ordered set of n sensors.

    Parameters
    ----------
    names
        N unique channel names.
    kind
        Int8 [n], index into `KINDS`.
    position
        Float32 [n, 3], meters in the head frame; NaN where unknown.
    orientation
        Float32 [n, 3], unit vector: the coil's normal, for planar gradiometers the direction of
        the gradient, for a difference of two EEG electrodes that from the second to the first;
        0 for other EEG and roi.
    unit
        N names of SI units.
    """

    names: tuple[str, ...]
    kind: np.ndarray
    position: np.ndarray
    orientation: np.ndarray
    unit: tuple[str, ...] = field(default=())

    def __post_init__(self):
        n = len(self.names)
        set_ = object.__setattr__
        set_(self, "names", tuple(str(name) for name in self.names))
        set_(self, "kind", np.ascontiguousarray(self.kind, dtype=np.int8))
        set_(self, "position", np.ascontiguousarray(self.position, dtype=np.float32))
        set_(self, "orientation", np.ascontiguousarray(self.orientation, dtype=np.float32))
        set_(self, "unit", tuple(self.unit) or tuple(UNITS[KINDS[k]] for k in self.kind))
        wanted = {"kind": (n,), "position": (n, 3), "orientation": (n, 3)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"Sensors.{name} must have shape {shape} for {n} names, "
                    f"got {getattr(self, name).shape}"
                )
        if not ((self.kind >= 0) & (self.kind < len(KINDS))).all():
            raise ValueError(f"Sensors.kind must be one of 0 to {len(KINDS) - 1}")
        if not all(isinstance(word, str) for word in (*self.names, *self.unit)):
            raise ValueError("Sensors.names and Sensors.unit must be text")
        if len(self.unit) != n:
            raise ValueError(f"Sensors.unit must have one unit for each of {n} names, "
                             f"got {len(self.unit)}")
        if len(set(self.names)) != n:
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"Sensor names must be unique; these come twice: {twice[:5]}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index) -> "Sensors":
        """The sensors at `index`: a slice, boolean mask or integer array."""
        rows = np.arange(len(self))[index]
        return Sensors(
            tuple(self.names[i] for i in rows), self.kind[rows], self.position[rows],
            self.orientation[rows], tuple(self.unit[i] for i in rows),
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each sensor by name."""
        return tuple(KINDS[k] for k in self.kind)

    @property
    def has_position(self) -> np.ndarray:
        """bool [n]: a position is known, finite and not the origin (MNE's 'not digitized')."""
        return np.isfinite(self.position).all(1) & (np.abs(self.position).sum(1) > 0)

    @property
    def is_difference(self) -> np.ndarray:
        """bool [n]: the difference of two EEG electrodes, which has no reference besides."""
        return (self.kind == KINDS.index("eeg")) & (np.abs(self.orientation).sum(1) > 0)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything above, order included."""
        digest = hashlib.sha256()
        digest.update("\0".join((*self.names, *self.unit)).encode())
        for array in (self.kind, self.position, self.orientation):
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def geometry(self, rule: GeometryRule = "head") -> np.ndarray:
        """Position and orientation as models read them.

        Parameters
        ----------
        rule
            "head": (position − center of the head) / 0.1 m, so that the same place on every
            head and device has the same coordinates. "centred": the rule of BrainOmni (arXiv
            2505.18185), EEG and MEG separately: the mean is removed, then divided by sqrt(3 ·
            mean squared radius); it shifts when sensors are left out.

        Returns
        -------
        ndarray
            float32 `[n, 6]`: position and orientation.

        Raises
        ------
        ValueError
            A sensor has no position.
        """
        if not self.has_position.all():
            missing = [self.names[i] for i in np.flatnonzero(~self.has_position)]
            raise ValueError(
                f"{len(missing)} of {len(self)} sensors have no position ({', '.join(missing[:5])}"
                f"{', …' if len(missing) > 5 else ''}); give a montage or drop them"
            )
        if rule == "head":
            position = (self.position - HEAD_CENTER_M) / HEAD_RADIUS_M
        elif rule == "centred":
            position = np.zeros_like(self.position)
            is_meg = np.isin(self.kinds, MEG_KINDS)
            for group in (is_meg, ~is_meg):
                if group.any():
                    centered = self.position[group] - self.position[group].mean(0)
                    position[group] = centered / np.sqrt(3 * np.square(centered).sum(1).mean())
        else:
            raise ValueError(f"geometry rule must be 'head' or 'centred', got {rule!r}")
        return np.concatenate([position, self.orientation], axis=1).astype(np.float32)

    def rows(self, names: Sequence[str]) -> np.ndarray:
        """Rows of sensors of these names.

        Parameters
        ----------
        names
            Names of sensors.

        Returns
        -------
        ndarray
            `[name]`.
        """
        place = {name: row for row, name in enumerate(self.names)}
        return np.array([place[name] for name in names], dtype=np.int64)

    def resembles(self, other: "Sensors") -> bool:
        """Whether both can be of one device.

        Parameters
        ----------
        other
            Other sensors.

        Returns
        -------
        bool
            Whether kinds are the same and four of five names of the larger set are in both
            (some are left out where they were bad).
        """
        shared = len(set(self.names) & set(other.names))
        return (set(self.kinds) == set(other.kinds)
                and shared >= 0.8 * max(len(self), len(other)))

    def to_dict(self) -> dict[str, list]:
        """Plain lists.

        Returns
        -------
        dict[str, list]
            For JSON and Arrow; an unknown position is None.
        """
        position = self.position.astype(object)
        position[~np.isfinite(self.position)] = None
        return {
            "names": list(self.names),
            "kind": self.kind.tolist(),
            "position": position.ravel().tolist(),
            "orientation": self.orientation.ravel().tolist(),
            "unit": list(self.unit),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, list]) -> "Sensors":
        """Sensors from plain lists.

        Parameters
        ----------
        fields
            As of `to_dict`.

        Returns
        -------
        Sensors
            As `to_dict` wrote them.
        """
        return cls(
            tuple(fields["names"]),
            np.asarray(fields["kind"]),
            np.asarray(fields["position"], dtype=np.float32).reshape(-1, 3),
            np.asarray(fields["orientation"], dtype=np.float32).reshape(-1, 3),
            tuple(fields["unit"]),
        )

    @classmethod
    def from_info(cls, info, picks) -> "Sensors":
        """Sensors of an `mne.Info`, which is read as a dictionary: MNE is not imported.

        Parameters
        ----------
        info
            An `mne.Info`.
        picks
            Indices of channels.

        Returns
        -------
        Sensors
            Positions in the head frame; those of MEG are NaN without `dev_head_t`.
        """
        chs = [info["chs"][int(pick)] for pick in picks]
        to_head = _device_to_head(info)
        rows = [_one_sensor(ch, to_head) for ch in chs]
        return cls(
            tuple(ch["ch_name"] for ch in chs),
            np.array([row[0] for row in rows], dtype=np.int8),
            np.array([row[1] for row in rows], dtype=np.float32).reshape(-1, 3),
            np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 3),
        )


def common_names(layouts: Sequence[Sensors]) -> list[str]:
    """Names that all layouts have.

    Parameters
    ----------
    layouts
        Sensors of each layout.

    Returns
    -------
    list[str]
        In the order of the first.
    """
    everywhere = set(layouts[0].names).intersection(*(layout.names for layout in layouts[1:]))
    return [name for name in layouts[0].names if name in everywhere]


def read_layouts(path: Path) -> dict[str, Sensors]:
    """Sensor layouts by fingerprint, of a file layouts.json.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict[str, Sensors]
        As the artifact has them.

    Raises
    ------
    ValueError
        It holds anything else.
    """
    return {key: sensors_in(path, fields) for key, fields in json_file.read(path).items()}


def sensors_in(path: Path, fields: dict[str, Any]) -> Sensors:
    """Sensors of a file that others may have written.

    Parameters
    ----------
    path
        The file, for messages.
    fields
        What it holds.

    Returns
    -------
    Sensors
        As `to_dict` wrote them.

    Raises
    ------
    ValueError
        It holds anything else.
    """
    with json_file.shaped(path, "a sensor layout"):
        return Sensors.from_dict(fields)


def _device_to_head(info) -> np.ndarray:
    """4 × 4 transform from MEG device to head coordinates; the identity where unknown."""
    transform = info.get("dev_head_t")
    return np.eye(4) if transform is None else np.asarray(transform["trans"], dtype=float)


def _one_sensor(ch, to_head: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """(kind index, position, orientation) of one MNE channel dictionary."""
    loc = np.asarray(ch["loc"], dtype=float)
    fiff_kind, coil = int(ch["kind"]), int(ch["coil_type"]) & 0xFFFF
    if fiff_kind == 2:  # FIFFV_EEG_CH
        return KINDS.index("eeg"), loc[:3], np.zeros(3)
    if fiff_kind != 1:  # FIFFV_MEG_CH
        raise ValueError(f"channel {ch['ch_name']} is neither EEG nor MEG (FIFF kind {fiff_kind})")
    planar = int(ch["unit"]) == 201  # FIFF_UNIT_T_M
    kind = "planar_grad" if planar else "axial_grad" if coil in _AXIAL_COILS else "mag"
    direction = loc[3:6] if planar else loc[9:12]
    length = np.linalg.norm(direction)
    orientation = to_head[:3, :3] @ direction / length if length > 0 else np.zeros(3)
    # An all-zero location is MNE's "unknown": it must not become a place when moved to the head.
    known = np.isfinite(loc[:3]).all() and np.abs(loc[:3]).sum() > 0
    position = to_head[:3, :3] @ loc[:3] + to_head[:3, 3] if known else np.full(3, np.nan)
    return KINDS.index(kind), position, np.nan_to_num(orientation)
