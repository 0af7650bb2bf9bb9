"""One evoked response or another, trial by trial: P300 target or not, related word or not (N400).

Slow waves are the signal, so the band of the contract must begin below 1 Hz.
"""

from .task import Task

TASK = Task(
    question="Which stimulus evoked this response?",
    window_s=1.0,
    label="label: {source: event, tmin_s: -0.2, mapping: {target: target, standard: non-target}}",
    trial="event",
    remarks=("Where stimuli follow each other within a window, windows overlap; those that share "
             "samples never stand on two sides of a split.",),
)
