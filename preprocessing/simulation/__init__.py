"""Brains of current dipoles and the devices that see them: where simulated archives come from.

brain(seed) → live(brain, seed) → record(brain, activity, device, seed): anatomy, what it does for
some minutes, what a device measures of it. scan(…) puts the same minutes into an fMRI scanner: BOLD
of regions, and what a scanner leaves in EEG. `neurofm simulate` writes the result to disk.
"""

from .activity import Activity, Trial, live
from .anatomy import Brain, Generator, brain, seed_of
from .devices import DEVICES, Device
from .measure import Measurement, lead_field, record
from .noise_ceiling import ceiling
from .regions import REGIONS
from .scanner import TRIGGER, Scan, Scanner, scan

__all__ = [
    "DEVICES",
    "REGIONS",
    "TRIGGER",
    "Activity",
    "Brain",
    "Device",
    "Generator",
    "Measurement",
    "Scan",
    "Scanner",
    "Trial",
    "brain",
    "ceiling",
    "lead_field",
    "live",
    "record",
    "scan",
    "seed_of",
]
