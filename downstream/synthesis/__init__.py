"""How predictions of fMRI from EEG are judged: who trains and who is judged (protocol), what
competes (linear, cnn, trained), how near it comes (metrics), and whether by chance (surrogates)."""
