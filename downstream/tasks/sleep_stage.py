"""Sleep stage of an epoch of 30 s, by the AASM's five stages (Rechtschaffen & Kales' S4 is N3)."""

from .task import Task

TASK = Task(
    question="Which sleep stage is this?",
    classes=("W", "N1", "N2", "N3", "R"),
    window_s=30.0,
    label='label: {source: event, mapping: {Sleep stage W: W, Sleep stage 1: N1, '
          'Sleep stage 2: N2, Sleep stage 3: N3, Sleep stage 4: N3, Sleep stage R: R}}',
    remarks=("Stages are named from one epoch alone, without those before and after it.",),
)
