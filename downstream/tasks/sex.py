"""Sex as noted in participants.tsv, judged person by person."""

from .task import Task

TASK = Task(
    question="Is this person noted as female or male?",
    per="subject",
    window_s=8.0,
    label="label: {source: participant, name: sex}",
    trial="subject",
)
