"""One T1-weighted image → what a T1Contract says: the same code for an archive and a new image.

Registration, brain and bias field are found on a grid of 2 mm in MNI space; the image itself is
resampled once, from its own voxels to the grid of the contract.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float32, Float64, Int64

from neurofm.data.recording import Recording
from neurofm.data.sensors import Sensors
from neurofm.data.t1_contract import T1Contract
from neurofm.data.volume import Volume, one_channel

from .anatomy import bias as biases
from .anatomy import brain as brains
from .anatomy import noise, register
from .anatomy import template as templates
from .segments import LeftOut
from .steps.refusal import ContractError

_STRIPPED = "the image held no skull"
_TEMPLATE = "by the template"
_LEAST_INSIDE = 0.98  # share of the brain that must lie in the image
_MOST_NAN = 0.001  # share of the brain's voxels without a number
_OF_HEADS = (0.5, 1.8)  # volume of a head over the template's


@dataclass(frozen=True, eq=False)
class StandardizedVolume:
    """An image that meets its contract: one window."""

    image: Float32[np.ndarray, "x y z"]
    mask: Bool[np.ndarray, "x y z"]
    contract: T1Contract
    source: str = ""
    quality: dict = field(default_factory=dict)  # see `neurofm.preprocessing.quality`
    left_out: tuple[LeftOut, ...] = ()
    sensors: Sensors = field(default_factory=one_channel)
    sfreq: float = 1.0

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[np.ndarray]:
        """The image as one window, float32 [1, voxel]."""
        return self.stored()

    def stored(self) -> Iterator[np.ndarray]:
        """The same."""
        yield self.image.reshape(1, -1)

    @property
    def signal(self) -> Float32[np.ndarray, "channel voxel"]:
        """The image as one channel."""
        return self.image.reshape(1, -1)

    @property
    def start(self) -> Int64[np.ndarray, " window"]:
        return np.zeros(1, dtype=np.int64)

    @property
    def onset(self) -> Int64[np.ndarray, " window"]:
        return np.zeros(1, dtype=np.int64)

    @property
    def start_s(self) -> Float64[np.ndarray, " window"]:
        return np.zeros(1)

    @property
    def stop_s(self) -> Float64[np.ndarray, " window"]:
        return np.zeros(1)


def standardize_t1(recording: Recording, contract: T1Contract) -> StandardizedVolume:
    """Apply `contract` to an image.

    Raises ContractError (a ValueError) naming the file, what was wanted, what came, what to do.
    """
    if not isinstance(recording, Volume) or recording.affine is None:
        kinds = ", ".join(sorted(set(recording.sensors.kinds)))
        raise ContractError(recording.source, "a T1-weighted image", f"this is {kinds}",
                            "ingest it with the modality that it is of")
    data, known = _finite(recording)
    found = _registered(recording, data, contract)
    template = templates.load()
    to_voxel = np.linalg.inv(recording.affine) @ found.affine  # from MNI millimeters
    work = _read(data, to_voxel @ template.affine, template.mask.shape)
    brain, how = _brain(recording, data, work, template, to_voxel)
    _check_brain(recording, brain, template, to_voxel, known)
    flat = _bias(work, brain, contract, template.voxel_mm)
    fine = to_voxel @ contract.affine
    image = _read(_softer(data, fine), fine, contract.shape)
    onto = np.linalg.inv(template.affine) @ contract.affine
    image /= _read(flat, onto, contract.shape, "nearest")
    if how == recording.mask_source and recording.mask is not None:
        mask = _read(_softer(recording.mask.astype(np.float32), fine), fine, contract.shape) > 0.5
    else:
        mask = _read(brain.astype(np.float32), onto, contract.shape) > 0.5
    if not mask.any():
        raise ContractError(recording.source, "a grid that holds the brain", "no voxel of it is "
                            "brain", "give other t1.center_mm, t1.shape or t1.voxel_mm")
    quality = _nothing_found(recording) | {
        "brain": how, "match": round(found.match, 3), "head_size": round(found.size, 4),
        "brain_ml": round(float(brain.sum()) * template.voxel_mm**3 / 1000 * found.size, 1),
        "bias": round(float(np.log(flat[brain]).std()), 3),
        "snr": _snr(data, work / flat, brain, template, to_voxel),
        "beyond_grid": round(1 - _held(brain, template, contract), 4),
        "warped": recording.space if contract.register == "affine" else "",
    }
    return StandardizedVolume(_scaled(image, mask, contract, quality, recording.source),
                              mask, contract, recording.source, quality)


def remarks(quality: dict) -> list[str]:
    """What a person should look at in an image."""
    if "brain_ml" not in quality:
        return []
    found = []
    if quality["brain"] == _TEMPLATE:
        found.append("no brain mask was found beside it: its brain was extracted by the template")
    if space := quality["warped"]:
        found.append(f"is in {space}: its brain may be warped to the template, so that sizes and "
                     f"shapes differ less between people")
    if quality["match"] < 0.7:
        found.append(f"matches the template poorly (correlation {quality['match']:.2f}): look at "
                     f"its slices")
    if quality["beyond_grid"] > 0.01:
        found.append(f"{quality['beyond_grid']:.0%} of the brain lies beyond the grid (t1.shape, "
                     f"t1.center_mm)")
    return found


def _finite(recording: Volume) -> tuple[Float32[np.ndarray, "x y z"], np.ndarray | None]:
    """The image with 0 where it has no number, and which voxels have one (None = all)."""
    data = recording.data
    known = np.isfinite(data)
    if known.all():
        return data, None
    return np.where(known, data, 0).astype(np.float32), known


def _registered(recording: Volume, data: np.ndarray, contract: T1Contract) -> register.Registered:
    assert recording.affine is not None  # looked at first
    if contract.register == "none" or recording.space:
        found = register.Registered(np.eye(4), register.match(data, recording.affine))
        why = "it is in MNI space by its name or header" if recording.space else (
            "t1.register: none takes its header as MNI space")
    else:
        found = register.affine(data, recording.affine)
        why = "it was registered"
    if not found.match >= contract.min_match:
        raise ContractError(
            recording.source, f"a T1-weighted image of a head (correlation with MNI152 of "
            f"{contract.min_match:g} or more)", f"it is {found.match:.2f} although {why}",
            "it may be a T2, be turned by its header, or show part of a head: look at it; "
            "t1.min_match lowers the limit")
    if not _OF_HEADS[0] < found.size < _OF_HEADS[1]:
        raise ContractError(recording.source, "a head", f"its volume is {found.size:.2f} of the "
                            f"template's", "correct the voxel sizes of its header")
    return found


def _read(data: Float32[np.ndarray, "x y z"], to_voxel: np.ndarray, shape: tuple[int, ...],
          beyond: str = "constant") -> Float32[np.ndarray, "i j k"]:
    """An image on another grid, linearly; to_voxel: voxel of the grid → of the image."""
    return scipy.ndimage.affine_transform(
        data, to_voxel[:3, :3], to_voxel[:3, 3], tuple(shape), np.float32, order=1, mode=beyond)


def _softer(data: Float32[np.ndarray, "x y z"], to_voxel: np.ndarray) -> np.ndarray:
    """An image without what a coarser grid cannot hold."""
    step = np.linalg.norm(to_voxel[:3, :3], axis=1)  # voxels of the image a voxel of the grid
    width = np.sqrt(np.maximum(step**2 - 1, 0)) / 2.355
    return scipy.ndimage.gaussian_filter(data, width) if width.max() > 0.3 else data


def _brain(recording: Volume, data: np.ndarray, work: np.ndarray, template: templates.Template,
           to_voxel: np.ndarray) -> tuple[Bool[np.ndarray, "x y z"], str]:
    """The brain on the template's grid, and how it was found."""
    if recording.mask is not None:
        given = _read(recording.mask.astype(np.float32), to_voxel @ template.affine,
                      template.mask.shape) > 0.5
        both = 2 * (given & template.mask).sum() / (given.sum() + template.mask.sum())
        if both < 0.7:
            raise ContractError(
                recording.source, "a brain mask that covers the brain", f"that of "
                f"{recording.mask_source} overlaps with the registered template's by {both:.2f} "
                f"(Dice)", "look whether it is of this image, or leave it out (volumes.masks: "
                "none)")
        return given, recording.mask_source
    if brains.is_stripped(work, template):
        there = (data > 1e-3 * np.quantile(data, 0.99)).astype(np.float32)
        there = _read(there, to_voxel @ template.affine, template.mask.shape) > 0.5
        return brains.of_stripped(there), _STRIPPED
    return brains.extract(work, template), _TEMPLATE


def _check_brain(recording: Volume, brain: np.ndarray, template: templates.Template,
                 to_voxel: np.ndarray, known: np.ndarray | None) -> None:
    """Raise ContractError where the image holds part of the brain, or no numbers in it."""
    at = template.places(template.mask) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    inside = ((at >= -0.5) & (at <= np.array(recording.shape) - 0.5)).all(axis=1).mean()
    if inside < _LEAST_INSIDE:
        raise ContractError(recording.source, "an image of the whole brain", f"{1 - inside:.0%} of "
                            "it lies outside the image", "leave the image out")
    if known is None:
        return
    assert recording.affine is not None
    # Its edge is known to a voxel of the image.
    edge_mm = float(np.linalg.norm(recording.affine[:3, :3], axis=0).max())
    inner = templates.grown(brain, -edge_mm, template.voxel_mm)
    at = np.rint(template.places(inner) @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
    at = at[((at >= 0) & (at < recording.shape)).all(axis=1)]
    lost = 1 - float(known[tuple(at.T)].mean())
    if lost > _MOST_NAN:
        raise ContractError(recording.source, "a number in every voxel of the brain",
                            f"{lost:.1%} of them have none (NaN)", "make the image anew")


def _bias(work: np.ndarray, brain: np.ndarray, contract: T1Contract, voxel_mm: float) -> np.ndarray:
    if contract.bias == "none":
        return np.ones(work.shape, dtype=np.float32)
    if contract.bias == "n4":
        return biases.n4(work, brain, voxel_mm)
    return biases.smooth(work, brain)


def _snr(data, flat: np.ndarray, brain: np.ndarray, template: templates.Template,
         to_voxel: np.ndarray) -> float | None:
    """Median of the brain over the noise; None where there is no noise (a smoothed image)."""
    inner = templates.grown(brain, -3.0, template.voxel_mm)
    if not inner.any():
        return None
    at = np.rint(template.places(inner) @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
    spread = noise.level(data, at)
    return round(float(np.median(flat[inner])) / spread, 1) if spread > 0 else None


def _held(brain: np.ndarray, template: templates.Template, contract: T1Contract) -> float:
    """Share of the brain that lies in the contract's grid."""
    back = np.linalg.inv(contract.affine)
    at = template.places(brain) @ back[:3, :3].T + back[:3, 3]
    return float(((at >= -0.5) & (at <= np.array(contract.shape) - 0.5)).all(axis=1).mean())


def _scaled(image: np.ndarray, mask: np.ndarray, contract: T1Contract, quality: dict, source: str
            ) -> np.ndarray:
    """Intensities as the contract says."""
    if contract.skull == "strip":
        image = np.where(mask, image, 0)
    if contract.scale == "none":
        return image.astype(np.float32)
    if contract.scale == "volume":
        return ((image - image.mean(dtype=np.float64)) / (image.std(dtype=np.float64) + 1e-9)
                ).astype(np.float32)
    low, middle, high = np.quantile(image[mask].astype(np.float64), (0.25, 0.5, 0.75))
    if not high > low:
        raise ContractError(source, "tissues of unlike intensity",
                            "half of the brain has one value", "check what is in the file")
    quality["intensity"] = [float(f"{middle:.5g}"), float(f"{(high - low) / 1.349:.5g}")]
    scaled = np.clip((image - middle) / ((high - low) / 1.349), -contract.clip, contract.clip)
    if contract.skull == "strip":
        scaled = np.where(mask, scaled, 0)
    return scaled.astype(np.float32)


def _nothing_found(recording: Volume) -> dict:
    return {"sfreq_original": recording.sfreq, "band_missing_hz": [], "bads": {},
            "without_position": [], "interpolated": [], "nan_share": 0.0, "left_out": [],
            "lost_s": 0.0, "amplitude": {}, "line_noise": {}, "line_left_hz": None,
            "highpass_hz": None, "windows_left_out": {}, "reading": list(recording.notes)}
