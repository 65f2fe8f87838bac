"""The smallest set of layers to keep in float so that a network stays within a budget."""
