"""How data enters: files of EEG, MEG and fMRI are read, standardized and sealed as a corpus."""

if __name__ != "neurofm.preprocessing":  # the folder is on the path by accident
    raise ImportError("this is neurofm.preprocessing: import it by that name")
