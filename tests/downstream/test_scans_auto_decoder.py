"""An automatic decoder of fMRI in the commands: it works, or the reason is said."""

import json
import shutil

import pandas as pd
import pytest

from neurofm import checkpoints, cli
from neurofm.data import corpus as corpora
from neurofm.data.corpus import Corpus
from tests.support import fmri


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Ten people, a scan each; labels in turn say nothing of it."""
    folder = tmp_path_factory.mktemp("scans")
    made = Corpus.open(fmri.make(folder / "made"))
    shutil.copytree(folder / "made/windows", folder / "corpus/windows")
    corpora.seal(folder / "corpus", made.contract.with_(corpus=""), made.recordings,
                 made.windows.assign(label=["control", "patient"] * 5), made.layouts,
                 pd.DataFrame(columns=["source", "reason"]), {})
    return folder / "corpus"


def test_scans_are_decoded_and_federated_and_what_they_lack_is_said(corpus, tmp_path, capsys):
    model = tmp_path / "decoder"
    assert cli.main(["finetune", f"--data={corpus}", f"--out={model}"]) == 0
    assert set(checkpoints.load(model).weights) == {"mean", "variance", "correlation",
                                                    "connectivity"}
    capsys.readouterr()
    assert cli.main(["explain", f"--data={corpus}", f"--model={model}",
                     f"--out={tmp_path / 'maps'}"]) != 0
    assert "maps are of band power of EEG or MEG" in capsys.readouterr().err
    assert cli.main(["export", str(model), f"--out={tmp_path / 'exported'}"]) != 0
    assert "only models of EEG and MEG are exported" in capsys.readouterr().err
    sites = json.dumps({"a": str(corpus), "b": str(corpus)})
    # Its own people judge it, which is said, and told by the status.
    assert cli.main(["federate", f"--sites={sites}", f"--out={tmp_path / 'sites'}",
                     f"--learning.model={model}", "--learning.rounds=1", "--folds=[0]",
                     "--methods=[federated]", "--learning.protocol.folds=3"]) in (0, 4)
    assert "LEAK" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "sites/sites.tsv", sep="\t")
    assert set(table["site"]) == {"a", "b", "all sites"}
