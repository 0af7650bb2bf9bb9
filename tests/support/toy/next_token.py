"""A second model of tokens: the next one, by the one before. It predicts them and generates."""

import torch
import torch.nn.functional as F

import neurofm
from neurofm.tokenizers.quantile import Quantile, QuantileConfig


class ToyBigramConfig(neurofm.NeuroFMConfig):
    model_type = "neurofm_toy_bigram"
    sub_configs = {"tokenizer": QuantileConfig}  # noqa: RUF012 (transformers' convention)
    context = 8

    def __init__(self, tokenizer=None, **of_transformers):
        if not isinstance(tokenizer, QuantileConfig):
            tokenizer = QuantileConfig(**(tokenizer or {}))
        self.tokenizer = tokenizer
        super().__init__(**of_transformers)

    @property
    def n_codes(self):
        return self.tokenizer.n_codes


class ToyBigram(neurofm.NextTokenModel, neurofm.GenerativeModel):
    """A table of scores."""

    config_class = ToyBigramConfig
    needs_tokenizer = "required"
    reads_places = False

    def __init__(self, config, tokenizer=None):
        if tokenizer is not None:
            config = ToyBigramConfig(tokenizer.config)
        super().__init__(config)
        self.tokenizer = Quantile(config.tokenizer)
        self.table = torch.nn.Embedding(config.n_codes, config.n_codes)
        self.post_init()
        if tokenizer is not None:
            self.tokenizer.load_state_dict(tokenizer.state_dict())
            self.contract = tokenizer.contract
        self.choose_trainable()

    def choose_trainable(self):
        self.tokenizer.requires_grad_(False)

    def logits(self, labels, geometry=None, valid=None, session=None):
        return self.table(labels)

    def answer(self, batch):
        return {"logits": self.logits(self.tokenizer.encode(batch).ids[..., 0]).contiguous()}

    def forward(self, batch):
        labels = self.tokenizer.encode(batch).ids[..., 0]
        scores, wanted = self.logits(labels[..., :-1]), labels[..., 1:]
        return F.cross_entropy(scores.flatten(0, 2), wanted.flatten()), {}

    @torch.no_grad()
    def generate(self, prompt, seconds, *, burn_in_s=0.0, unigram=False, temperature=1.0,
                 top_p=0.99, seed=0):
        draw = torch.Generator().manual_seed(seed)
        labels = self.tokenizer.encode(prompt).ids[..., 0]
        new = [labels[..., -1]]
        for _ in range(round(seconds * self.contract.sfreq)):
            share = self.table(new[-1]).div(temperature).softmax(dim=-1).flatten(0, 1)
            new.append(torch.multinomial(share, 1, generator=draw).view(labels.shape[:2]))
        return self.tokenizer.decode(torch.stack(new[1:], dim=-1)[..., None])
