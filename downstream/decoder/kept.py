"""Arrays that an interrupted training has found: a file each in its folder, checked by a journal.

    state/MARK/NAME.npy     MARK: a hash of all that decides the arrays
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from neurofm import artifacts
from neurofm.journal import Journal


class Kept(dict[str, np.ndarray]):
    """Name → array. What is put in is written at once; whole files of before are there already.

    Parameters
    ----------
    folder
        Folder of unfinished work.
    decisive
        Plain values and arrays that decide what the arrays are, beside the version of the code.
    """

    def __init__(self, folder: Path, *decisive):
        digest = hashlib.sha256(json.dumps(artifacts.code_version(), sort_keys=True).encode())
        for each in decisive:
            digest.update(np.ascontiguousarray(each).tobytes() if isinstance(each, np.ndarray)
                          else f"{each!r};".encode())
        self.folder = folder / digest.hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.folder)
        super().__init__({Path(name).stem: np.load(self.folder / name, allow_pickle=False)
                          for name in [*self.journal.known]
                          if self.journal.kept(name) is not None})

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        temporary, file = self.folder / f".{name}.part", f"{name}.npy"
        with temporary.open("wb") as stream:
            np.save(stream, value, allow_pickle=False)
        artifacts.flush(temporary)
        temporary.replace(self.folder / file)
        self.journal.note(file, artifacts.sha256(self.folder / file))
        super().__setitem__(name, value)
