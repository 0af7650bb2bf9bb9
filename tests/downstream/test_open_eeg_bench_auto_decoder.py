"""The split of Open EEG Bench on files named as PhysioNet names them."""

from collections import Counter

from neurofm import cli, config
from neurofm.data.corpus import Corpus
from neurofm.downstream.benchmarks.decoding.question import COMMAND
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.protocol.windows import folds
from tests.benchmarks.bench_open_eeg_bench import commands
from tests.support.physionet_eegmat import make_archive

PEOPLE = (0, 19, 27, 28, 31, 32, 35)


def test_commands_of_the_file_part_people_as_published(tmp_path):
    make_archive(tmp_path / "archive", PEOPLE, 11)
    ingest, evaluate = commands(tmp_path)
    assert cli.main([*ingest, "--workers=1"]) == 0
    corpus = Corpus.open(tmp_path / "eegmat/open_eeg_bench")
    assert corpus.contract.sfreq == 100
    assert Counter(corpus.windows["label"]) == {"rest": 21, "arithmetic": 21}
    run = config.parse(COMMAND.config, evaluate[2:], command="evaluate decoding")
    assert run.data == str(corpus.folder)
    assert "auto" in run.methods
    (fold,) = folds(labeled(corpus, ["arithmetic", "rest"]), run.protocol, 1)
    parted = {split: {int(name[-2:]) for name in corpus.subjects(windows)}
              for split, windows in fold.windows.items()}
    assert parted == {"train": {0, 19, 27}, "validation": {28, 31}, "test": {32, 35}}
