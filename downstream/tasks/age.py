"""Age in years, judged person by person (1/f slope and alpha frequency change with it)."""

from .task import Task

TASK = Task(
    question="How old is this person (years)?",
    number=True,
    per="subject",
    window_s=8.0,
    label="label: {source: participant, name: age}",
    trial="subject",
    remarks=("Errors grow toward the youngest and the oldest, whose ages are predicted toward "
             "the mean.",),
)
