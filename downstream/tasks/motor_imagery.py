"""Which movement is imagined: a trial from its cue on (Pfurtscheller & Lopes da Silva 1999: mu and
beta weaken over the sensorimotor cortex of the other side)."""

from .task import Task

TASK = Task(
    question="Which movement is imagined?",
    window_s=4.0,
    label='label: {source: event, tmin_s: 0.0, mapping: {T1: left, T2: right}}',
    trial="event",
    remarks=("Cues to the left and right also move the eyes: frontal channels may decide.",),
)
