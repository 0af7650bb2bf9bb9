"""Files that were not fetched: git-lfs and git-annex leave a line of text in their place."""

from pathlib import Path

_LONGEST_BYTES = 2000


def not_fetched(path: str | Path) -> str:
    """What lies there instead of the file, and how to fetch it; "" for a file that is whole."""
    path = Path(path)
    if not path.is_file() or not 0 < path.stat().st_size < _LONGEST_BYTES:
        return ""
    text = path.read_bytes()[:200]
    if text.startswith(b"version https://git-lfs.github.com/"):
        return (f"{path.name} is a pointer of git-lfs, its content was not fetched: run git lfs "
                f"pull in its folder")
    if b"\n" not in text.strip() and b"annex/objects/" in text and b"\0" not in text:
        return (f"{path.name} is a pointer of git-annex, its content was not fetched: run datalad "
                f"get (or git annex get) {path.name}")
    return ""
