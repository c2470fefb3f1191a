"""How the weights are made: data, losses, loops. It imports the rooms; no room imports it."""
