"""How it is used and judged: fine-tuning, decoding of new recordings, evaluation."""

if __name__ != "neurofm.downstream":  # the folder is on the path by accident
    raise ImportError("this is neurofm.downstream: import it by that name")
