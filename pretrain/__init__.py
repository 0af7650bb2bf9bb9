"""How it learns: a corpus becomes a tokenizer, tokens, and a pretrained model."""

if __name__ != "neurofm.pretrain":  # the folder is on the path by accident
    raise ImportError("this is neurofm.pretrain: import it by that name")
