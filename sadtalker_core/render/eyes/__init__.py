"""Eyes of the mini family: irises that look elsewhere, and what is drawn where the eyelids meet."""
