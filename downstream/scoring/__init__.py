"""Metrics, intervals, chance, surrogates, and what a decoder reads from a signal."""
