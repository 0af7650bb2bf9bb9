"""Decoders and synthesizers at work: one recording, many, a watched folder, live; their pages."""
