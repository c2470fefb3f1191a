"""The mini family's renderer: a face mesh is posed, and the portrait is warped along."""
