"""Clips what is louder than a limit."""

import numpy as np

from neurofm.preprocessing.steps import PerWindow, Step


def apply(recording, contract, quality):
    limit = STEP.settings(contract)["limit_uv"] * 1e-6
    quality["clip"] = float((np.abs(recording.signal) > limit).mean())
    return recording.with_(signal=np.clip(recording.signal, -limit, limit))


def words(contract):
    return [("Clipped", f"at {STEP.settings(contract)['limit_uv']:g} µV")]


def remarks(quality):
    return [f"{quality['clip']:.1%} of the samples clipped"]


STEP = Step("clip", apply, live=PerWindow(), words=words, remarks=remarks, after="reference",
            defaults={"limit_uv": 100.0})
MUTE = Step("mute", apply, after="clip")
