"""What calibration images tell about a network: statistics, and the pass that collects them."""
