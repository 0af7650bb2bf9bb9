"""Patient or control: one label a person, judged person by person."""

from .task import Task

TASK = Task(
    question="Does this person have the diagnosis?",
    per="subject",
    window_s=8.0,
    label="label: {source: participant, name: diagnosis}",
    trial="subject",
    remarks=("Groups may differ in more than the diagnosis (age, drugs, device, who wore the cap "
             "when): this measures what tells the groups apart, which need not be the illness.",),
)
