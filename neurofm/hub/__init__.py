"""Publishing on the Hugging Face Hub: staging, secrets, cards, sending."""
