"""Types of the numbers in a recipe, each with its range; infinite numbers and NaN are refused."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

# Of every section: an unknown key is an error, and so are .inf and .nan, whatever else the field asks for.
SECTION = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
# What a selection follows: the five of Table 3, and ours; `sampling.TARGETS` has a function for each, but for `auto`,
# which chooses one.
Distribution = Literal[
    "scale", "hill", "ground", "slope", "cliff", "quantile", "pool", "easy", "curriculum", "mixture", "auto"
]
Mixture = Annotated[float, Field(ge=-1, le=1)]
Labels = Literal["hard", "soft"]  # that networks are trained on
Decay = Annotated[float, Field(ge=0, lt=1)]
