"""Building blocks of networks: layers, activations, losses, masks, attention."""
