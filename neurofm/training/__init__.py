"""The one training loop, and what it stands on: order of the data, schedule, saved state."""
