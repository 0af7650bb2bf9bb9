"""Weights that others published: one file a family turns their names into ours, strictly."""
