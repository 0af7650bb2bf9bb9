"""Steps from a recording to its contract: one file each, `apply(recording, contract, quality)`.

A step returns the recording changed and writes what it found into `quality` (a dict that travels
with the recording). To add one: a file here and a line in `ORDER`.

The order and its reasons:
    select       first, so that nothing is spent on sensors of other kinds
    samples      NaN, infinite and flat samples are found before a filter would spread them
    positions    a sensor without a place is of no use to a network: dropped before the work,
                 unless the contract does without places
    resample     notch, band-pass and new rate in one pass; what follows works on fewer samples
    amplitude    after the filter, which takes away offsets and drifts of DC amplifiers
    bad_channels spectra are compared within the band that models see
    interpolate  needs the bad ones known, and must precede the reference
    reference    after it: a bad channel would leak into all others through the average
    parcels      last, where asked for: an inverse wants clean, referenced sensors
`scale` is applied to each window, see `standardize`.
"""

from . import (
    amplitude,
    bad_channels,
    interpolate,
    parcels,
    positions,
    reference,
    resample,
    samples,
    select,
)

ORDER = (select, samples, positions, resample, amplitude, bad_channels, interpolate, reference,
         parcels)
