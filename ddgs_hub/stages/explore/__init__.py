"""The page on which a scored pool is looked at and sampled anew: `ddgs-hub explore`, and the same as a Space.

`opened` finds the pool, its original and where the controls begin; `sampled` samples a class and says why each image
was taken or left; `images` reads the few that are shown; `drawing` and `words` turn these into HTML of ours; `saving`
keeps what was chosen. `app` serves the page, `guard` says to whom. Only these and `page` need gradio, which is an
optional extra. No image but those shown is in memory.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names

if TYPE_CHECKING:
    from ddgs_hub.stages.explore.app import serving, space
    from ddgs_hub.stages.explore.opened import Opened, open_explored

__all__ = ["Opened", "open_explored", "serving", "space"]

__getattr__, __dir__ = lazy_names(
    __name__, {"app": ("serving", "space"), "opened": ("Opened", "open_explored")}, __all__
)
