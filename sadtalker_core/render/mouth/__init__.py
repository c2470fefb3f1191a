"""What is drawn between the lips (mini family)."""
