"""A plan in words."""

from typing import Any

from .estimate import FREE, GB

_SPREAD = {"one": "one process", "ddp": "DDP", "fsdp": "FSDP"}


def said(plan: dict[str, Any]) -> str:
    """Lines for the terminal."""
    n, accumulate = plan["processes"], plan["accumulate"]
    lines = [
        f"{plan['model']}: {plan['parameters'] / 1e6:.2f} M parameters, "
        f"{plan['trained'] / 1e6:.2f} M of them trained",
        f"a window: {plan['window']}",
        f"a window costs {_flops(plan['flops_window'])} in a step ({_flops(plan['flops_forward'])} "
        f"forward)" + (", counted from shapes alone" if plan["shapes_alone"] else ""),
        "",
        f"suggested: {_SPREAD[plan['parallel']]}, {n} {plan['device']}, micro-batch "
        f"{plan['micro_batch']}, train.accumulate {accumulate}, train.batch_windows "
        f"{plan['batch_windows']}, train.checkpointing "
        f"{str(plan['checkpointing']).lower()}",
    ]
    if plan["batch_windows"] != plan["wanted_batch_windows"]:
        lines.append(f"  {plan['wanted_batch_windows']} windows a step cannot be shared alike by "
                     f"{n} processes: {plan['batch_windows']} can")
    lines += ["memory of a process:"]
    lines += [f"  {name:<12}{size / GB:9.3f} GB" for name, size in plan["bytes"].items()]
    lines += [
        f"  {'together':<12}{plan['bytes_of_process'] / GB:9.3f} GB of {plan['memory_gb']:.0f} GB "
        f"({100 * FREE:.0f} % are left free)",
        f"activations of a window: {plan['activations_window'] / GB:.3f} GB, with checkpointing "
        f"{plan['activations_window_checkpointed'] / GB:.3f} GB",
        "",
        f"{plan['steps']} steps = {plan['passes']:.2f} passes over {plan['windows']} windows of "
        f"{plan['hours_of_recording']:.0f} hours; {_flops(plan['flops'])}",
        f"a step: {plan['step_s']:.3g} s; all steps: {plan['hours']:.3g} hours, "
        f"{plan['gpu_hours']:.3g} GPU hours",
    ]
    lines += [
        f"  at {100 * plan['utilization']:.1f} % of {plan['peak_tflops']:.3g} TFLOP/s, as measured "
        f"on this machine ({plan['measured_s']:.3g} s a step)" if plan["utilization_measured"] else
        f"  at {100 * plan['utilization']:.0f} % of {plan['peak_tflops']:.3g} TFLOP/s, which is "
        f"assumed: --measure WINDOWS times some steps on a machine of that kind",
        "storage: " + ", ".join(f"{name} {size / GB:.2f} GB"
                                for name, size in plan["storage"].items() if size),
    ]
    return "\n".join(lines)


def _flops(number: float) -> str:
    for unit, size in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number / 1e6:.2f} MFLOP"
