"""Weights that were read: whether they are those of the model, and numbers."""

from collections.abc import Mapping

from torch import Tensor


def refuse_differences(name: str, path, info: dict) -> None:
    """All weights that do not fit are listed.

    Parameters
    ----------
    name
        Class of the model.
    path
        Where they came from, for the message.
    info
        `output_loading_info` of transformers.

    Raises
    ------
    ValueError
        A weight is missing, unexpected or of another shape.
    """
    problems = []
    for key, title in (("missing_keys", "missing"), ("unexpected_keys", "unexpected")):
        if info[key]:
            problems.append(f"{title}: {', '.join(sorted(info[key]))}")
    if info["mismatched_keys"]:
        shapes = (f"{key} is {list(got)}, wanted {list(wanted)}"
                  for key, got, wanted in sorted(info["mismatched_keys"]))  # fmt: skip
        problems.append(f"mis-shaped: {', '.join(shapes)}")
    if info.get("error_msgs"):
        problems.append(f"unreadable: {info['error_msgs']}")
    if problems:
        raise ValueError(
            f"{path}: the weights do not fit {name} as its config.json describes it. "
            f"{'; '.join(problems)}. Were config and weights made by the same version?"
        )


def refuse_not_finite(weights: Mapping[str, Tensor], path) -> None:
    """Weights with NaN or infinity answer NaN, or nonsense, for everybody.

    Parameters
    ----------
    weights
        Name → value.
    path
        Where they came from, for the message.

    Raises
    ------
    ValueError
        Some are not finite; they are named.
    """
    bad = [name for name, value in weights.items()
           if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        shown = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
        raise ValueError(f"{path}: {len(bad)} of its weights are not finite ({shown}): the "
                         f"training that made them diverged, or the file was changed; make it "
                         f"again, or ask who published it")
