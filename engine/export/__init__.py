"""From a trained run to a bundle that runs without Lensmith."""
