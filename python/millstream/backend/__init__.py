"""One file per detector, by its name in the registry."""
