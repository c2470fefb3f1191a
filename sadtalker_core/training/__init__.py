"""How the weights are made: data, losses, loops. It imports the packages; none imports it."""
