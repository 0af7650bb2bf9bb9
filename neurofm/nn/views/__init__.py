"""Views of a window: what classical methods look at, as layers. One file each; see `view.py`."""
