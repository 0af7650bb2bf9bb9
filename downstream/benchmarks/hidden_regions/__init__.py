"""How well hidden fMRI regions of unseen people are predicted."""
