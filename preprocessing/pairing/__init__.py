"""EEG and fMRI measured together → pairs: what `neurofm pair` does with one scan, a file a
step: `partner` (the other half), `alignment` (of clocks), `gradient_residue`, `one_scan`."""
