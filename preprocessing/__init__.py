"""How data enters: files of EEG, MEG and fMRI are read, standardised and sealed as a corpus."""
