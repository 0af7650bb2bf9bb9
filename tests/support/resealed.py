"""Sealed folders that a test has changed, sealed again."""

from pathlib import Path

from neurofm import artifacts


def resealed(folder: Path, *, add: tuple[str, ...] = (), without: tuple[str, ...] = (),
             config: dict | None = None) -> artifacts.Manifest:
    """The same folder, sealed with what is in its files now.

    add, without: names that the manifest lists besides, or no more. config: instead of its own.
    """
    before = artifacts.read_manifest(folder)
    return artifacts.seal(
        folder, before.kind, config=before.config if config is None else config,
        parents=before.parents, files=sorted({*before.listed, *add} - {*without}))
