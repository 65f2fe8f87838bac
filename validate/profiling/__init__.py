"""Where an artifact's time goes: by operator, by layer, against the machine's peak."""
