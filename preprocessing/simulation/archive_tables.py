"""Tables of a simulated archive of EEG, MEG and fMRI: people, ceilings, what it is."""

from pathlib import Path

from neurofm import artifacts


def write(folder: Path, run, rows: list[dict]) -> list[str]:
    """Write what describes the whole archive; returns the names of the files. run: a
    `SimulateConfig`."""
    import pandas as pd

    table = pd.DataFrame(rows)
    people = table.groupby("subject", sort=True).agg(
        age=("age", "first"), sex=("sex", "first"),
        devices=("device", lambda column: ",".join(dict.fromkeys(column))),
    )
    people.insert(0, "participant_id", [f"sub-{subject}" for subject in people.index])
    if run.bold:
        people["t_r"] = [run.scanner(int(subject)).t_r_s for subject in people.index]
    people.to_csv(folder / "participants.tsv", sep="\t", index=False)
    table.drop(columns=["age", "sex"]).to_csv(folder / "ceiling.tsv", sep="\t", index=False)
    artifacts.write_json(folder / "dataset_description.json", {
        "Name": "Imagined hand movements, simulated by neurofm", "BIDSVersion": "1.9.0",
        "DatasetType": "raw", "License": "CC0",
    })  # fmt: skip
    return ["participants.tsv", "ceiling.tsv", "dataset_description.json"]
