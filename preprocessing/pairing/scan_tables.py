"""Tables of pairs out of the records of their scans, and their seal."""

import pandas as pd

from neurofm import artifacts
from neurofm.data import pairs
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.sensors import Sensors

from ..readers import ReadError
from ..records import Kind, Records
from . import partner

KIND = Kind("pair", "pairs", ".pair", ("eeg", "bold"), "EEG recording", "folder of pairs")


def refuse_other_regions(records: Records) -> None:
    """Make scans fail whose regions are not those of the first (by id): pairs have one set."""
    if not records.finished:
        return
    first, *others = records.finished.items()
    wanted, where = Sensors.from_dict(first[1]["rois"]), first[1]["row"]["source"]
    for name, record in others:
        row = record["row"]
        try:
            partner.check_same(Sensors.from_dict(record["rois"]), wanted, row["bold_source"], where)
        except ReadError as error:
            records.fail(name, row["source"], record["job"]["path"], error.reason)


def seal(
    records: Records, scans: pd.DataFrame, contract: InputContract, bold: FMRIContract, config: dict
) -> bool:
    """Seal the pairs, unless they stand sealed with the very same tables."""
    if records.stand_sealed("scans", scans):
        return False
    artifacts.unseal(records.folder)
    records.remove_leftovers()
    found = records.finished.values()
    layouts = {record["row"]["layout"]: Sensors.from_dict(record["layout"]) for record in found}
    rois = Sensors.from_dict(next(iter(found))["rois"])
    pairs.seal(records.folder, contract, bold, scans, layouts, rois, records.failure_table(),
               config)
    return True
