"""Which movement is made, such as the direction of a wrist (Waldert et al. 2008, J Neurosci
28:1000): slow waves over the motor cortex tell, so the contract's band must begin below 1 Hz."""

from .task import Task

TASK = Task(
    question="Which movement is made?",
    window_s=1.0,
    label='label: {source: event, tmin_s: -0.5, mapping: {left: left, right: right}}',
    trial="event",
    remarks=("Eyes and muscles move along: what is decoded need not come from the brain.",),
)
