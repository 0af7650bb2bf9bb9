"""The quantizer in two processes: the same codebooks on both, and those of one process."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from neurofm.nn.quantizer import ResidualQuantizer

STEPS, WINDOWS = 6, 10


def global_batch(step: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(step)
    return torch.nn.functional.normalize(torch.randn(WINDOWS, 30, 8, generator=random), dim=-1)


def train(part: slice) -> tuple[ResidualQuantizer, torch.Tensor]:
    torch.manual_seed(0)
    # More codes than are used often, so that dead ones are revived on the way.
    quantizer = ResidualQuantizer(8, n_levels=2, n_codes=64, decay=0.8).train()
    for step in range(STEPS):
        share = quantizer(global_batch(step)[part]).share
    return quantizer, share


def one_of_two(rank: int, folder: str, first: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    quantizer, share = train(slice(0, first) if rank == 0 else slice(first, None))
    torch.save((quantizer.state_dict(), share), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("first", [5, 3], ids=["even", "uneven"])
def test_distributed_codebooks_are_those_of_one_process(tmp_path, first):
    mp.spawn(one_of_two, args=(str(tmp_path), first), nprocs=2)
    (one, share_1), (two, share_2) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name in one:
        assert torch.equal(one[name], two[name]), f"{name} differs between processes"
    assert torch.equal(share_1, share_2)
    alone, share = train(slice(None))
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(one[name], value, atol=1e-5, rtol=1e-4, msg=name)
    torch.testing.assert_close(share_1, share)

