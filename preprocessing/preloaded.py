"""What a worker of ingest, pair and simulate needs: imported once by the server that workers are
forked from (Linux and macOS; elsewhere each imports for itself).

MNE and SciPy load parts of themselves only when these are first used, which each worker would do
again. While they are imported nothing becomes garbage, and to look for some takes a fifth of the
time; what is imported stays, so that workers need not look at it either.
"""

import contextlib
import gc

_NAMES = (
    "neurofm.preprocessing.one_recording", "neurofm.preprocessing.readers.mne_raw", "mne",
    "mne.io._read_raw", "mne.io.base",
    "mne.io.fiff.raw", "mne.io.edf.edf", "mne.io.brainvision", "mne.io.eeglab", "mne.io.kit",
    "mne.io.ctf", "mne.io.bti", "mne.io.egi", "mne.io.cnt", "mne.io.nihon", "mne.io.curry",
    "mne.io.snirf", "mne.io.persyst", "mne.io.nirx", "mne.io.mef", "mne.filter", "mne.evoked",
    "mne.epochs", "mne.channels.montage", "mne.channels._standard_montage_utils",
    "mne.time_frequency", "scipy.signal", "filelock",
    "mne_bids.read", "pyarrow.pandas_compat",
)

_looks = gc.isenabled()
gc.disable()
for _name in _NAMES:
    with contextlib.suppress(ImportError):
        __import__(_name)
if _looks:
    gc.freeze()
    gc.enable()
