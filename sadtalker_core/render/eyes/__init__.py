"""What is drawn where the eyelids meet (mini family)."""
