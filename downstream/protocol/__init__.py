"""Who trains, who chooses and who is judged, for windows and for scans; leaks."""
