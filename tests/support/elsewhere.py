"""The same inputs at another place: what is made of them must not depend on where they lie."""

import os
import re
import shutil
from pathlib import Path


class Elsewhere:
    """Copies of folders, below a folder of their own.

    Parameters
    ----------
    folder
        Where copies lie.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.moved: dict[str, str] = {}

    def words(self, words: list[str], roots: list[Path]) -> list[str]:
        """A command line with the places of copies of `roots`, which are brought up to date."""
        for root in roots:
            # The last folder keeps its name: it may be that of the data set.
            copy = self.moved.setdefault(
                str(root), str(self.folder / str(len(self.moved)) / root.name))
            shutil.copytree(root, copy, copy_function=_linked, dirs_exist_ok=True)
        return [_replaced(word, self.moved) for word in words]

    def back(self, content: bytes) -> bytes:
        """A file's content with the first places; what is no text stays as it is."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return content
        return _replaced(text, {copy: root for root, copy in self.moved.items()}).encode()


def _replaced(text: str, places: dict[str, str]) -> str:
    for one, other in places.items():
        text = re.sub(re.escape(one) + r"(?![\w.-])", other, text)
    return text


def _linked(source: str, target: str) -> None:
    if os.path.exists(target):
        return
    try:
        os.link(source, target)
    except OSError:  # of another disk
        shutil.copyfile(source, target)
