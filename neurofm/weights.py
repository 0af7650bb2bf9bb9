"""Weights that were read: whether they are those of the model, and numbers."""

from torch import Tensor, nn


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


def refuse_not_finite(model: nn.Module, path) -> None:
    """Weights with NaN or infinity answer NaN, or nonsense, for everybody.

    A buffer of zeros and −inf is a mask of attention, and no fault.

    Parameters
    ----------
    model
        The model with its weights.
    path
        Where they came from, for the message.

    Raises
    ------
    ValueError
        Some are not finite; they are named.
    """
    trained = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    bad = [name for name, value in model.state_dict().items()
           if value.is_floating_point() and not value.isfinite().all()
           and (name in trained or not _is_mask(value))]
    if bad:
        shown = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
        raise ValueError(f"{path}: {len(bad)} of its weights are not finite ({shown}): the "
                         f"training that made them diverged, or the file was changed; make it "
                         f"again, or ask who published it")


def _is_mask(buffer: Tensor) -> bool:
    return bool(((buffer == 0) | buffer.isneginf()).all())
