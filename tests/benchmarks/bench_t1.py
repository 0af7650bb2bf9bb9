"""Registration, brain and bias field of simulated T1-weighted images against what is true of them.

    python tests/benchmarks/bench_t1.py --heads 4

Heads of `neurofm simulate --t1 true`: one brain, deformed, with a drawn skull. A line a head:
distance from the true place (mean over the brain, mm), Dice of the brain that is found and of the
template's, share of the bias field that is left by the polynomial and by N4, seconds of the
processor for the whole image.
"""

import argparse
import time

import numpy as np
from scipy.ndimage import affine_transform

from neurofm.data.t1_contract import T1Contract
from neurofm.data.volume import Volume, one_channel
from neurofm.preprocessing.anatomy import bias, brain, register
from neurofm.preprocessing.anatomy import template as templates
from neurofm.preprocessing.simulation import heads
from neurofm.preprocessing.standardize_t1 import standardize_t1


def measured(number: int, voxel_mm: float) -> dict[str, float]:
    """Of one head."""
    rng = np.random.default_rng(number)
    shape = heads.Shape(float(np.exp(rng.normal(0, 0.04))), float(rng.normal()))
    head = heads.head(shape, heads.T1Scanner(voxel_mm=voxel_mm), [number, 1], [number, 2])
    template = templates.load()
    found = register.affine(head.image, head.affine)

    def on_template(part: np.ndarray, to_scanner: np.ndarray) -> np.ndarray:
        turn = np.linalg.inv(head.affine) @ to_scanner @ template.affine
        return affine_transform(part.astype(np.float32), turn[:3, :3], turn[:3, 3],
                                template.mask.shape, order=1)

    off = found.affine - np.linalg.inv(head.to_mni)
    place = template.places(template.mask)
    work = on_template(head.image, found.affine)
    true = on_template(head.brain, found.affine) > 0.5
    own = brain.extract(work, template)
    field = np.log(on_template(head.bias, found.affine)[own])

    def dice(one: np.ndarray) -> float:
        return 2 * (one & true).sum() / (one.sum() + true.sum())

    def left(estimate: np.ndarray) -> float:
        return float((field - np.log(estimate[own])).std() / field.std())

    image = Volume(head.image.reshape(1, -1), 1.0, one_channel(), shape=head.image.shape,
                   affine=head.affine, source=f"head {number}")
    begin = time.process_time()
    standardize_t1(image, T1Contract())
    return {"off_mm": float(np.linalg.norm(place @ off[:3, :3].T + off[:3, 3], axis=1).mean()),
            "dice": dice(own), "dice_template": dice(template.mask),
            "left": left(bias.smooth(work, own)),
            "left_n4": left(bias.n4(work, own, template.voxel_mm)),
            "cpu_s": time.process_time() - begin}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--voxel_mm", type=float, default=2.0)
    given = parser.parse_args()
    rows = [measured(number, given.voxel_mm) for number in range(given.heads)]
    print("head", *rows[0], sep="\t")
    for number, row in enumerate(rows):
        print(number, *(f"{value:.2f}" for value in row.values()), sep="\t")
    print("mean", *(f"{np.mean([row[name] for row in rows]):.2f}" for name in rows[0]), sep="\t")


if __name__ == "__main__":
    main()
