"""From a pretrained model to a decoder: labeled windows, features, heads, adapters, training."""
