"""Eyes open or closed: posterior alpha (Berger 1929), the plainest effect in EEG."""

from .task import Task

TASK = Task(
    question="Are the eyes open or closed?",
    classes=("closed", "open"),
    window_s=4.0,
    label="label: {source: entity, name: task, mapping: {eyesclosed: closed, eyesopen: open}}",
)
