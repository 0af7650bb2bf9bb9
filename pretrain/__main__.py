"""`neurofm pretrain` as one process of several: started by srun (configs/slurm/pretrain.sbatch) or
by `accelerate launch -m neurofm.pretrain`."""

import os
import sys
from pathlib import Path

from neurofm.training.signals import hold


def main() -> int:
    """Exit status of this process."""
    hold()  # before torch is imported
    from neurofm import cli
    from neurofm.run import STOPPED, rank
    from neurofm.training import ranks

    try:
        if path := os.environ.get(ranks.CONFIG):
            os.environ |= ranks.settings(path)
    except ValueError as problem:
        if rank() == 0:
            sys.stderr.write(f"neurofm pretrain: {problem}\n")
        return 1
    status = cli.main(["pretrain", *sys.argv[1:]])
    told = os.environ.get("NEUROFM_STOPPED")  # a file that the batch script made and reads
    if status != STOPPED or not told:
        return status
    if rank() > 0:
        return 0
    if not Path(told).exists():  # not seen from inside a container: the status tells
        return status
    Path(told).write_text("stopped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
