"""Simulated corpora, small models and local servers that tests share."""
