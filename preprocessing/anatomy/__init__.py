"""What is done with a T1-weighted image: registration, brain extraction, bias field, noise."""
