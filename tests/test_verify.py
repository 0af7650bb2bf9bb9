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


def test_unfinished_folders_are_told_and_caches_of_datasets_are_none_of_ours(
    corpus_folder, tmp_path, capsys
):
    import shutil

    shutil.copytree(corpus_folder, tmp_path / "good")
    (tmp_path / "good" / "windows" / "cache-0123.arrow").write_bytes(b"0")
    assert cli.main(["verify", str(tmp_path)]) == 0
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "unfinished.json").write_text("{}")
    assert cli.main(["verify", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "it is unfinished: run the command that makes it again" in said
    assert "2 folders checked, 0 damaged, 1 unfinished" in said


def test_bad_input_no_finished_folder(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{")
    assert cli.main(["verify", str(tmp_path), str(tmp_path / "none")]) == 1
    said = capsys.readouterr().out
    assert "not a valid manifest" in said
    assert "no such folder" in said
