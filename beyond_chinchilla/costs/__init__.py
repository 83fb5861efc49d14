"""What money buys: FLOPs, hardware, demand, and their sum over the model's life."""
