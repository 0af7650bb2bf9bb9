"""Judges of generated against real recordings: one file each, and what they are judged beside."""
