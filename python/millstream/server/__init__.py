"""The service: HTTP in, the same product as the library underneath."""
