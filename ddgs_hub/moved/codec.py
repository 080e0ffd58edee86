"""Where the codec was before the rooms of the package were built; it is in `ddgs_hub.diffusion`."""

from ddgs_hub.diffusion import Codec, load_autoencoder

__all__ = ["Codec", "load_autoencoder"]
