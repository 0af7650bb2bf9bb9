"""`neurofm verify` reads every byte again, and names what is damaged."""

from neurofm import cli


def test_every_damaged_file_is_named(corpus_folder, tmp_path, capsys):
    import shutil

    from neurofm import artifacts

    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        shutil.copytree(corpus_folder, folder)
    assert cli.main(["verify", str(good)]) == 0
    said = capsys.readouterr().out
    assert f"corpus {artifacts.open_sealed(good).fingerprint}" in said
    assert "1 folders checked, 0 damaged" in said
    changed, lost = sorted(name for name in artifacts.open_sealed(bad).listed
                           if name.endswith(".arrow"))[:2]
    content = bytearray((bad / changed).read_bytes())
    content[-9] ^= 1
    (bad / changed).write_bytes(content)
    (bad / lost).unlink()
    assert cli.main(["verify", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{bad / changed}: its sha256 is not the manifest's" in said
    assert f"{bad / lost}: is missing" in said
    assert "neurofm ingest" in said
    assert "2 folders checked, 1 damaged" in said


def test_bad_input_no_finished_folder(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{")
    assert cli.main(["verify", str(tmp_path), str(tmp_path / "none")]) == 1
    said = capsys.readouterr().out
    assert "not a valid manifest" in said
    assert "no such folder" in said
