"""Models as scikit-learn estimators on MNE epochs, and in MOABB."""
