"""Settings of Accelerate for a process that no launcher has started.

`accelerate launch` hands a file of configs/accelerate/ on to its processes as environment
variables. Under srun each process reads the file itself.
"""

from pathlib import Path

from .. import yaml_file

CONFIG = "ACCELERATE_CONFIG"  # environment variable: path of the file
_NAMES = {"transformer_layer_cls_to_wrap": "transformer_cls_to_wrap"}


def settings(path: str | Path) -> dict[str, str]:
    """Environment variables for what a file of configs/accelerate/ says.

    Parameters
    ----------
    path
        Path of the file.

    Raises
    ------
    ValueError
        There is no such file, or it is of another type than MULTI_GPU and FSDP.
    """
    if not Path(path).is_file():
        raise ValueError(f"{CONFIG}={path}: there is no such file; name one of "
                         f"configs/accelerate/, from the folder that you submit from")
    told = yaml_file.read(path)
    kind = told.get("distributed_type") if isinstance(told, dict) else None
    if kind not in ("MULTI_GPU", "FSDP"):
        raise ValueError(f"{CONFIG}={path}: wanted distributed_type MULTI_GPU or FSDP, got "
                         f"{kind!r}")
    found = {"ACCELERATE_USE_CPU": _text(told.get("use_cpu", False))}
    if kind == "FSDP":
        found["ACCELERATE_USE_FSDP"] = "true"
        for key, value in told.get("fsdp_config", {}).items():
            name = key.removeprefix("fsdp_")
            found[f"FSDP_{_NAMES.get(name, name)}".upper()] = _text(value)
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
