"""Shards of many recordings: the same bytes by any way, and only what must be is done again."""

import json

import datasets
import numpy as np
import pytest

from neurofm import artifacts
from neurofm.data import packing, shards, storage
from neurofm.data.packing import Piece
from neurofm.data.shards import ShardReader

PACK = ("--shard_mb", "1")


def _fingerprint(out) -> str:
    return artifacts.open_sealed(out, "corpus", hashes=True).fingerprint


def _done(out) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (out / ".ingest/done").glob("*.json")}


def _signals(corpus) -> list[np.ndarray]:
    return [corpus.signal(window).copy() for window in range(len(corpus))]


def _small_shards(monkeypatch):
    """Shards of a part of the corpus each: two or three recordings."""
    groups = packing.groups

    def smaller(pieces, shard_mb):
        larger = 2_500_000 // sum(piece.n_bytes for piece in pieces)
        small = [Piece(p.recording, p.sha256, p.n_bytes * larger, p.n_rows) for p in pieces]
        whole = {piece.recording: piece for piece in pieces}
        found = groups(small, shard_mb)
        return [(name, [whole[piece.recording] for piece in some]) for name, some in found]

    monkeypatch.setattr(packing, "groups", smaller)


def test_recordings_share_shards_whatever_the_way(lab, ingest, quick, tmp_path, monkeypatch):
    alone = ingest(lab, *quick, "--out", tmp_path / "alone")
    _small_shards(monkeypatch)
    whole = ingest(lab, *quick, *PACK, "--out", tmp_path / "whole")
    shards = sorted((whole.out / "windows").glob("*.arrow"))
    assert 1 < len(shards) < 6
    assert all(path.name.startswith("shard-") for path in shards)
    for one, other in zip(_signals(whole.corpus), _signals(alone.corpus), strict=True):
        assert np.array_equal(one, other)
    table = datasets.Dataset.from_file(str(shards[0]))
    assert table.column_names == ["signal"]
    for number in (2, 1):
        ingest(lab, *quick, *PACK, "--part", f"{number}/2")
    parts = ingest(lab, *quick, *PACK)
    assert _fingerprint(parts.out) == _fingerprint(whole.out) != _fingerprint(alone.out)
    assert "nothing to do" in ingest(lab, *quick, *PACK).text
    apart = ingest(lab, *quick, "--shard_mb", "0")  # and back to a file a recording
    assert _fingerprint(apart.out) == _fingerprint(alone.out)
    assert not list((apart.out / ".ingest/shards").iterdir())
    together = ingest(lab, *quick, *PACK)
    assert _fingerprint(together.out) == _fingerprint(whole.out)


def test_an_interrupted_packing_goes_on(lab, ingest, quick, tmp_path, monkeypatch):
    _small_shards(monkeypatch)
    whole = ingest(lab, *quick, *PACK, "--out", tmp_path / "whole")
    note, noted = packing.Packs.note, []

    def killed_at_the_second(self, shard, pieces, digest):
        if noted:
            raise KeyboardInterrupt
        noted.append(shard)
        note(self, shard, pieces, digest)

    monkeypatch.setattr(packing.Packs, "note", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ingest(lab, *quick, *PACK)
    monkeypatch.setattr(packing.Packs, "note", note)
    out = tmp_path / "corpus"
    out = out if out.is_dir() else ingest(lab, *quick, *PACK).out
    first = (out / "windows" / f"{noted[0]}.arrow").stat().st_mtime_ns
    before = _done(out)
    last = ingest(lab, *quick, *PACK)
    assert last.out == out
    assert _done(out) == before  # no recording was done again
    assert (out / "windows" / f"{noted[0]}.arrow").stat().st_mtime_ns == first
    assert _fingerprint(out) == _fingerprint(whole.out)


def test_damage_of_a_shard_redoes_the_recording_it_is_in(lab, ingest, quick, tmp_path,
                                                        monkeypatch):
    _small_shards(monkeypatch)
    out = ingest(lab, *quick, *PACK).out
    before, fingerprint = _done(out), _fingerprint(out)
    shard = max((out / "windows").glob("*.arrow"), key=lambda path: path.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(artifacts.ArtifactError, match=shard.name):
        artifacts.open_sealed(out, "corpus", hashes=True)
    again = ingest(lab, *quick, *PACK, "--verify=full")
    assert again.status == 0
    assert sum(_done(out)[name] != at for name, at in before.items()) == 1
    assert _fingerprint(out) == fingerprint
    shard.write_bytes(shard.read_bytes()[:-len(content) // 3])  # cut: its end is lost
    ingest(lab, *quick, *PACK)
    assert _fingerprint(out) == fingerprint


def test_a_corpus_of_shards_grows(lab, ingest, quick, make_raw, save, tmp_path, monkeypatch):
    _small_shards(monkeypatch)
    out = ingest(lab, *quick, *PACK).out
    before = _done(out)
    save(make_raw(seed=9, seconds=14), lab / "p2a_raw.fif")
    grown = ingest(lab, *quick, *PACK)
    assert {name: at for name, at in _done(out).items() if name in before} == before
    whole = ingest(lab, *quick, *PACK, "--out", tmp_path / "whole")
    assert _fingerprint(grown.out) == _fingerprint(whole.out)
    (lab / "p2a_raw.fif").unlink()
    save(make_raw(seed=11, seconds=16), lab / "p0_raw.fif")  # and changes
    ingest(lab, *quick, *PACK)
    assert sum(_done(out)[name] != at for name, at in before.items()) == 1


def test_one_more_recording_changes_few_shards():
    random = np.random.default_rng(0)
    pieces = [Piece(f"sub-{i:05d}", f"{i:064x}", int(random.integers(1, 20)) * 10**6, 3)
              for i in range(3000)]
    before = {name for name, _ in packing.groups(pieces, None)}
    sizes = [sum(piece.n_bytes for piece in some) for _, some in packing.groups(pieces, None)]
    assert max(sizes) <= packing.SHARD_MB * 10**6
    assert np.mean(sizes) > 0.5 * packing.SHARD_MB * 10**6
    more = sorted([*pieces, Piece("sub-01500a", "f" * 64, 10**7, 3)],
                  key=lambda piece: piece.recording)
    assert len({name for name, _ in packing.groups(more, None)} - before) <= 5
    few = packing.groups(pieces[:1000], None)
    assert [name for name, _ in few] == [piece.recording for piece in pieces[:1000]]


@pytest.mark.parametrize(("kind", "largest"), [("int16", 2e-4), ("float16", 1e-3)])
def test_storage_halves_the_bytes_and_tells_its_error(lab, ingest, quick, tmp_path, kind, largest):
    plain = ingest(lab, *quick, "--out", tmp_path / "plain")
    half = ingest(lab, *quick, "--storage", kind, *PACK)
    bytes_of = [sum(path.stat().st_size for path in (each.out / "windows").iterdir())
                for each in (plain, half)]
    assert bytes_of[1] < 0.56 * bytes_of[0]
    told = [json.loads(text)["storage_error"] for text in half.corpus.recordings["quality"]]
    worst = 0.0
    for one, other in zip(_signals(plain.corpus), _signals(half.corpus), strict=True):
        error = np.sqrt(np.mean((one - other) ** 2, 1) / np.maximum(np.mean(one**2, 1), 1e-30))
        worst = max(worst, float(error.max()))
    assert 0 < worst < largest
    assert worst == pytest.approx(max(told), rel=0.02)
    assert f"stored as {kind}" in (half.out / "quality.html").read_text()
    with pytest.raises(ValueError, match=f"storage: {kind} there, float32 now"):
        ingest(lab, *quick)


def test_int16_keeps_volumes_that_were_not_measured_and_is_exact_the_second_time(tmp_path):
    random = np.random.default_rng(0)
    signal = random.standard_normal((3, 40)).astype(np.float32) * np.float32([[1], [1e-6], [1e4]])
    signal[1, 3:7] = np.nan
    signal[2] = 0
    kept = storage.encode(signal, "int16")
    back = storage.decode(kept, "int16").reshape(3, 40)
    assert np.array_equal(np.isnan(back), np.isnan(signal))
    largest = np.nanmax(np.abs(signal), axis=1, keepdims=True)
    assert (np.nan_to_num(np.abs(back - signal)) <= largest / 32767).all()
    assert np.array_equal(storage.encode(back, "int16"), kept)
    assert np.array_equal(storage.encode(-back, "int16"), storage.encode(-signal, "int16"))


def test_bad_input_of_storage(tmp_path):
    for signal in (np.full((2, 3), np.inf), np.full((2, 3), 1e6), np.full((2, 3), 1e-6)):
        with pytest.raises(ValueError, match="to store as float16"):
            storage.encode(signal, "float16")
    with pytest.raises(ValueError, match=r"scale is\s+none"):
        storage.check("float16", "none")
    path = tmp_path / "windows" / "x.arrow"
    shards.write_raw(path, [np.zeros(4)], shards.schema("signal", "int4"))
    with pytest.raises(ValueError, match="install a newer neurofm"):
        ShardReader(path.parent, "float32").read("x.arrow", 0)
