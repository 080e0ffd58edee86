"""Where original images come from. It knows the Hub as a reader does, and nothing of how images are used."""
