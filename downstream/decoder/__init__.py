"""From a pretrained model to a decoder: labelled windows, features, heads, adapters, training."""
