"""Rest or a mental task, such as serial subtraction (Zyma et al. 2019, PhysioNet eegmat)."""

from .task import Task

TASK = Task(
    question="Is this person at rest, or doing mental arithmetic?",
    classes=("arithmetic", "rest"),
    window_s=5.0,
    label="label: {source: entity, name: task}",
    remarks=("Rest and task are blocks of one recording each: what drifts with time between them "
             "(impedances, drowsiness) helps every method.",),
)
