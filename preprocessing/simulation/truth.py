"""What an analysis of a simulated recording should find, for the file in truth/."""

import numpy as np


def truth_of(person, measured) -> dict[str, np.ndarray]:
    """What an analysis should find: arrays of plain numbers and names, for `np.load`.

    lead_field: [channel, source] in the channel's unit per A·m. coupling: [source, generator] in
    A·m. position (m), orientation: [source, 3], head frame. contralateral, ipsilateral, peak_hz:
    [generator], NaN where a generator has none. channel, source, generator: names.
    """
    generators = person.generators
    return {
        "lead_field": measured.lead_field,
        "coupling": person.coupling,
        "position": person.position,
        "orientation": person.orientation,
        "channel": np.array(measured.raw.ch_names),
        "source": np.array(person.names),
        "generator": np.array([each.name for each in generators]),
        "peak_hz": np.array([each.peak_hz or np.nan for each in generators]),
        "side": np.array([each.side or "" for each in generators]),
        "contralateral": np.array([each.contralateral for each in generators]),
        "ipsilateral": np.array([each.ipsilateral for each in generators]),
    }
