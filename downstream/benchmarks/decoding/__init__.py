"""How well labels are decoded from unseen people, beside baselines."""
