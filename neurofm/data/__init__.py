"""Data types that the stages hand to each other. Submodules are imported by name."""
