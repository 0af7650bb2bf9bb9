"""How well fMRI is predicted from EEG."""
