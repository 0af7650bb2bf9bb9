"""An automatic decoder of fMRI in the commands: it works, or the reason is said."""

import json
import shutil

import pandas as pd
import pytest

from neurofm import checkpoints, cli
from neurofm.data import corpus
from neurofm.data.corpus import Corpus
from tests.support import fmri


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Ten people, a scan each, with labels in turn, which say nothing of it; and those exchanged.
    """
    folder, labels = tmp_path_factory.mktemp("scans"), ["control", "patient"]
    made = Corpus.open(fmri.make(folder / "made"))
    for name in ("a", "b"):
        shutil.copytree(folder / "made/windows", folder / name / "windows")
        corpus.seal(folder / name, made.contract.with_(corpus=""), made.recordings,
                    made.windows.assign(label=labels * 5), made.layouts,
                    pd.DataFrame(columns=["source", "reason"]), {})
        labels.reverse()
    return {name: str(folder / name) for name in ("a", "b")}


def test_scans_are_decoded_and_federated_and_what_they_lack_is_said(corpora, tmp_path, capsys):
    model = tmp_path / "decoder"
    assert cli.main(["finetune", f"--data={corpora['a']}", f"--out={model}"]) == 0
    assert set(checkpoints.load(model).weights) == {"mean", "variance", "correlation",
                                                    "connectivity"}
    capsys.readouterr()
    assert cli.main(["explain", f"--data={corpora['a']}", f"--model={model}",
                     f"--out={tmp_path / 'maps'}"]) != 0
    assert "maps are of band power of EEG or MEG" in capsys.readouterr().err
    assert cli.main(["export", str(model), f"--out={tmp_path / 'exported'}"]) != 0
    assert "only models of EEG and MEG are exported" in capsys.readouterr().err
    # Its own people judge it, which is said, and told by the status.
    assert cli.main(["federate", f"--sites={json.dumps(corpora)}", f"--out={tmp_path / 'sites'}",
                     f"--learning.model={model}", "--learning.rounds=1", "--folds=[0]",
                     "--methods=[federated]", "--learning.protocol.folds=3"]) in (0, 4)
    assert "LEAK" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "sites/sites.tsv", sep="\t")
    assert set(table["site"]) == {"a", "b", "all sites"}
