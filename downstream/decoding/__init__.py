"""New recordings: many of them, a folder that is watched, a signal as it comes; and their pages."""
