"""Brain: current dipoles in a spherical head, and the generators that drive them.

One template, the same in every archive, holds about forty dipoles placed beneath electrode names of
the 10-05 system (so that "beneath C3" means the same on every head) and three sorts of generators:
a 1/f background of each dipole's own, 1/f backgrounds shared by the nodes of a network, and
rhythms: posterior alpha, and sensorimotor mu and beta that react to imagined movement
(Pfurtscheller & Lopes da Silva 1999, "Event-related EEG/MEG synchronization and
desynchronization"). A subject is the template with jitter in head size, place, direction, strength,
frequencies and reactivity. Dipole moment = coupling · generators: an extension (BOLD from band
envelopes, other rhythms) reads or adds generators and leaves the rest alone.
"""

import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float

# Center of the sphere that fits the 10-05 electrodes of MNE's template in its head frame.
CENTER_M = np.array([0.0, 0.012, 0.042])
HEAD_RADIUS_M = 0.095
# The brain fills 90 % of the radius in MNE's four-shell sphere; dipoles stay inside with a margin.
DEEPEST, SHALLOWEST = 0.45, 0.87

NM_AM = 1e-9  # nanoampere meter in ampere meter

# Dipoles of the background: a cover of the upper head, about 3 cm apart.
CORTEX = (
    "AF3", "AF4", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "Cz", "T8",
    "TP7", "CP3", "CP4", "TP8", "P7", "P3", "Pz", "P4", "P8", "PO3", "PO4", "Iz",
)
# Dipoles of the rhythms: gyral ones point outwards, sulcal ones along the surface to the front
# (the hand area lies in the bank of the central sulcus, so MEG sees it and EEG sees it tilted).
RHYTHMIC = {
    "C3 gyrus": ("C3", 15.0), "C3 sulcus": ("CP3", 80.0),
    "C4 gyrus": ("C4", 15.0), "C4 sulcus": ("CP4", 80.0),
    "O1": ("O1", 30.0), "O2": ("O2", 30.0), "POz left": ("PO3", 65.0), "POz right": ("PO4", 65.0),
}  # fmt: skip
NETWORKS = {
    "visual": ("O1", "O2", "POz"),
    "sensorimotor": ("C3", "C4", "Cz"),
    "attention": ("FC1", "FC2", "P3", "P4"),
    "frontal": ("AF3", "AF4", "Fz"),
    "temporal": ("T7", "T8", "TP7", "TP8"),
    "default mode": ("Fz", "Pz", "P7", "P8"),
}


@dataclass(frozen=True)
class Generator:
    """A time course of unit variance that drives dipoles.

    peak_hz None: 1/f background with power falling as frequency ** -exponent above `knee_hz`.
    Otherwise a rhythm: a Gaussian band of standard deviation `width_hz` around the peak, whose
    amplitude drifts (`waxing`: standard deviation of its logarithm).
    side: hemisphere ("left", "right") of a rhythm that reacts to imagined movement; its amplitude
    falls by `contralateral` (0..1) while the other side's hand is imagined, by `ipsilateral` for
    its own, and comes back `rebound` above rest after the trial.
    """

    name: str
    exponent: float = 0.0
    knee_hz: float = 1.0
    peak_hz: float | None = None
    width_hz: float = 0.0
    waxing: float = 0.0
    side: str | None = None
    contralateral: float = 0.0
    ipsilateral: float = 0.0
    rebound: float = 0.0


@dataclass(frozen=True, eq=False)
class Brain:
    """A subject: dipoles in the head frame (meters) and what drives them."""

    center: Float[np.ndarray, "3"]
    radius: float
    names: tuple[str, ...]
    # position, orientation: [source, 3], meters and unit vectors in MNE's head frame
    position: Float[np.ndarray, "source 3"]
    orientation: Float[np.ndarray, "source 3"]
    generators: tuple[Generator, ...]
    # [source, generator], ampere meters for one unit of a generator
    coupling: Float[np.ndarray, "source generator"]
    age: int
    sex: str

    def generator(self, name: str) -> int:
        """Column of `coupling` of the generator called `name`."""
        return [generator.name for generator in self.generators].index(name)


def seed_of(*words: int | str) -> list[int]:
    """A seed for `np.random.default_rng` that depends on every word and on nothing else."""
    return [word if isinstance(word, int) else zlib.crc32(word.encode()) for word in words]


@cache
def electrode_directions() -> dict[str, np.ndarray]:
    """10-05 name → unit vector from the head's center, in MNE's head frame."""
    import mne

    known = mne.channels.get_builtin_montages()
    # MNE 1.12 renamed the template; the positions are the same.
    name = "colin27_1005" if "colin27_1005" in known else "standard_1005"
    montage = mne.channels.make_standard_montage(name)
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    return {ch["ch_name"]: _unit(ch["loc"][:3] - CENTER_M) for ch in info["chs"]}


def brain(seed: int | list[int], reactivity: float = 1.0) -> Brain:
    """The brain of one subject.

    reactivity: scales how much mu and beta react to imagined movement in everybody (0: not at all).
    """
    rng = np.random.default_rng(seed)
    names, direction, depth, tilt = _template_dipoles()
    n = len(names)
    age, sex = int(rng.integers(20, 71)), "MF"[rng.integers(2)]
    radius = HEAD_RADIUS_M * (1.0 if sex == "M" else 0.96) * rng.normal(1.0, 0.025)

    # 4 mm of place and 12 degrees of direction: what aligning people to a template leaves over.
    position = direction * np.clip(depth, DEEPEST, SHALLOWEST)[:, None] * radius
    position = _keep_inside(position + rng.normal(0, 0.004 / np.sqrt(3), (n, 3)), radius)
    orientation = _tilted(direction, tilt, _template_bearing())
    orientation = _unit(orientation + rng.normal(0, np.tan(np.radians(12)) / np.sqrt(2), (n, 3)))

    generators = _generators(rng, names, age, reactivity)
    coupling = _coupling(names, direction, generators)
    # People differ in the strength of each generator and of each place.
    coupling *= np.exp(rng.normal(0, 0.2, (1, len(generators))) + rng.normal(0, 0.1, (n, 1)))
    return Brain(
        CENTER_M.copy(), float(radius), names, CENTER_M + position, orientation, generators,
        coupling, age, sex,
    )


def _template_dipoles() -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Names, directions from the center, depths (share of the radius), tilts (degrees)."""
    at = electrode_directions()
    rng = np.random.default_rng(seed_of("dipoles of the template"))
    names = (*CORTEX, *RHYTHMIC, "eyes")
    places = [*CORTEX, *(place for place, _ in RHYTHMIC.values())]
    # Blinks are seen as a dipole between and behind the eyes.
    direction = np.array([*(at[place] for place in places), _unit(at["Fpz"] + [0.0, 0.0, -0.35])])
    depth = np.array([*rng.uniform(0.62, 0.84, len(CORTEX)), *[0.8] * len(RHYTHMIC), 0.86])
    tilt = np.array(
        [*rng.uniform(0, 90, len(CORTEX)), *(angle for _, angle in RHYTHMIC.values()), 10.0]
    )
    return names, direction, depth, tilt


def _template_bearing() -> np.ndarray:
    """Where each dipole tilts to, [source], radians from the front; rhythms tilt to the front."""
    rng = np.random.default_rng(seed_of("bearings of the template"))
    return np.concatenate([rng.uniform(0, 2 * np.pi, len(CORTEX)), np.zeros(len(RHYTHMIC) + 1)])


def _generators(
    rng: np.random.Generator, names: tuple[str, ...], age: int, reactivity: float
) -> tuple[Generator, ...]:
    """One subject's generators. Alpha slows and the 1/f slope flattens with age."""
    years = age - 20
    exponent = 1.7 - 0.006 * years + rng.normal(0, 0.08)
    alpha_hz = 10.8 - 0.02 * years + rng.normal(0, 0.5)
    mu_hz, beta_hz = rng.normal(11.0, 0.8), rng.normal(20.5, 1.5)
    # Some people hardly react ("BCI illiteracy"), some lose nearly all of their mu.
    contralateral = float(np.clip(reactivity * rng.normal(0.6, 0.18), 0.0, 0.9))
    ipsilateral = contralateral * rng.uniform(0.15, 0.5)
    found = [Generator(f"background {name}", exponent=exponent) for name in names[:-1]]
    found += [Generator(f"network {name}", exponent=exponent + 0.2) for name in NETWORKS]
    found += [
        Generator(f"alpha {side}", peak_hz=alpha_hz, width_hz=0.7, waxing=0.5)
        for side in ("left", "right", "shared")
    ]
    for side in ("left", "right"):
        reacts: dict[str, Any] = {
            "side": side, "contralateral": contralateral, "ipsilateral": ipsilateral}
        found += [
            Generator(f"mu {side}", peak_hz=mu_hz, width_hz=0.9, waxing=0.5, rebound=0.1, **reacts),
            Generator(f"beta {side}", peak_hz=beta_hz, width_hz=2.0, waxing=0.4, rebound=0.4,
                      **reacts),
        ]  # fmt: skip
    return (*found, Generator("blink"))


def _coupling(
    names: tuple[str, ...], direction: np.ndarray, generators: tuple[Generator, ...]
) -> np.ndarray:
    """The template's coupling, [source, generator] in ampere meters.

    Moments of some tens of nAm are those of synchronous cortical patches of a few cm²
    (Hämäläinen et al. 1993); the result is tens of µV on the scalp and about 1 pT at a helmet.
    """
    at = electrode_directions()
    column = {generator.name: i for i, generator in enumerate(generators)}
    moment = np.zeros((len(names), len(generators)))
    rng = np.random.default_rng(seed_of("strengths of the template"))
    own = 16.0 * np.exp(rng.normal(0, 0.3, len(names)))
    for i, name in enumerate(names[:-1]):
        moment[i, column[f"background {name}"]] = own[i]
    for network, nodes in NETWORKS.items():
        nearest = np.max([direction @ at[node] for node in nodes], axis=0)
        reach = np.exp(-0.5 * (np.arccos(np.clip(nearest, -1, 1)) / np.radians(18)) ** 2)
        moment[:-1, column[f"network {network}"]] = 30.0 * reach[:-1]
    row = {name: i for i, name in enumerate(names)}
    for side, hand in (("left", "C3"), ("right", "C4")):
        gyrus, sulcus = f"{hand} gyrus", f"{hand} sulcus"
        moment[row[gyrus], column[f"mu {side}"]] = 26.0
        moment[row[sulcus], column[f"mu {side}"]] = 20.0
        moment[row[gyrus], column[f"beta {side}"]] = 10.0
        moment[row[sulcus], column[f"beta {side}"]] = 10.0
    for side, occipital, parietal in (("left", "O1", "POz left"), ("right", "O2", "POz right")):
        moment[row[occipital], column[f"alpha {side}"]] = 25.0
        moment[row[parietal], column[f"alpha {side}"]] = 15.0
        moment[row[occipital], column["alpha shared"]] = 30.0
        moment[row[parietal], column["alpha shared"]] = 20.0
    moment[row["eyes"], column["blink"]] = 160.0
    return moment * NM_AM


def _tilted(outwards: np.ndarray, tilt_deg: np.ndarray, bearing: np.ndarray) -> np.ndarray:
    """Unit vectors tilted away from `outwards` [source, 3], toward `bearing` from the front."""
    front = np.array([0.0, 1.0, 0.0])
    forwards = _unit(front - (outwards @ front)[:, None] * outwards)
    sideways = np.cross(outwards, forwards)
    along = np.cos(bearing)[:, None] * forwards + np.sin(bearing)[:, None] * sideways
    tilt = np.radians(tilt_deg)[:, None]
    return np.cos(tilt) * outwards + np.sin(tilt) * along


def _keep_inside(position: np.ndarray, radius: float) -> np.ndarray:
    """Pull dipoles that jitter pushed out of the brain back to its rim."""
    length = np.linalg.norm(position, axis=1, keepdims=True)
    return position * np.minimum(1.0, SHALLOWEST * radius / length)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)
