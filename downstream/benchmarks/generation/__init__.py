"""How close generated recordings are to real ones."""
