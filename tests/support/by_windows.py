"""NeuroBOLTSequence as NeuroBOLT was published: each volume from a window of its own."""

from dataclasses import replace

import torch

from neurofm.nn.lag_basis import REACH_S


@torch.no_grad()
def predict_by_windows(model, batch, statistics):
    """What `model.predict` of whole scans must agree with. statistics: of the scans."""
    reach = round(REACH_S / model.config.hop_s) * model.hop + model.length
    found = []
    for k in range(batch.volume_s.shape[1]):
        last = int(torch.floor(batch.volume_s[:, k].max() / model.config.hop_s)) * model.hop
        first = max(0, last - reach) // model.hop * model.hop
        part = replace(batch, signal=batch.signal[..., first:last],
                       n_times=(batch.n_times - first).clamp(max=last - first),
                       volume_s=batch.volume_s[:, k : k + 1] - first / model.config.sfreq,
                       target=batch.target[:, k : k + 1],
                       bad=None if batch.bad is None else batch.bad[:, first:last])
        found.append(model.predict(part, statistics))
    return torch.cat(found, dim=1)
