"""The three ten-class subsets of ImageNet-1k that the paper distils, with their classes in its order."""

from dataclasses import dataclass

from ddgs_hub.core.errors import InputError


@dataclass(frozen=True)
class Subset:
    """Ten classes of ImageNet-1k.

    Attributes:
        name: in recipes and on the command line.
        pretty_name: in cards and messages.
        wnids: WordNet ids, in the paper's order; the position of a class is its label in the distilled dataset.
        class_names: the first English name of each class.
        imagenet_indices: the ImageNet-1k index of each class, 0 … 999 (its position among the sorted wnids).
    """

    name: str
    pretty_name: str
    wnids: tuple[str, ...]
    class_names: tuple[str, ...]
    imagenet_indices: tuple[int, ...]


def _subset(name: str, pretty_name: str, *classes: tuple[str, str, int]) -> Subset:
    wnids, class_names, indices = zip(*classes, strict=True)
    return Subset(name, pretty_name, wnids, class_names, indices)


SUBSETS: dict[str, Subset] = {
    subset.name: subset
    for subset in (
        # Ten dog breeds: the hardest of the three (fastai; Table 1 of the paper).
        _subset(
            "imagewoof",
            "ImageWoof",
            ("n02096294", "Australian terrier", 193),
            ("n02093754", "Border terrier", 182),
            ("n02111889", "Samoyed", 258),
            ("n02088364", "beagle", 162),
            ("n02086240", "Shih-Tzu", 155),
            ("n02089973", "English foxhound", 167),
            ("n02087394", "Rhodesian ridgeback", 159),
            ("n02115641", "dingo", 273),
            ("n02099601", "golden retriever", 207),
            ("n02105641", "Old English sheepdog", 229),
        ),
        # Ten classes that are easy to tell apart (fastai; Table 2).
        _subset(
            "imagenette",
            "ImageNette",
            ("n01440764", "tench", 0),
            ("n02102040", "English springer", 217),
            ("n02979186", "cassette player", 482),
            ("n03000684", "chain saw", 491),
            ("n03028079", "church", 497),
            ("n03394916", "French horn", 566),
            ("n03417042", "garbage truck", 569),
            ("n03425413", "gas pump", 571),
            ("n03445777", "golf ball", 574),
            ("n03888257", "parachute", 701),
        ),
        # The first ten of the hundred classes that IDC drew at random (Table 2).
        _subset(
            "imageidc",
            "ImageIDC",
            ("n02869837", "bonnet", 452),
            ("n01749939", "green mamba", 64),
            ("n02488291", "langur", 374),
            ("n02107142", "Doberman", 236),
            ("n13037406", "gyromitra", 993),
            ("n02091831", "Saluki", 176),
            ("n04517823", "vacuum", 882),
            ("n04589890", "window screen", 904),
            ("n03062245", "cocktail shaker", 503),
            ("n01773797", "garden spider", 74),
        ),
    )
}


def get_subset(name: str) -> Subset:
    """The subset with a name.

    Raises:
        InputError: there is no such subset.
    """
    if name not in SUBSETS:
        raise InputError(f"unknown subset '{name}': choose one of {', '.join(SUBSETS)}")
    return SUBSETS[name]


def imagenet_index(wnid: str) -> int:
    """The ImageNet-1k index, 0 … 999, of a WordNet id.

    Raises:
        InputError: no class of ImageNet-1k has that id.
    """
    from timm.data import ImageNetInfo  # imported here: timm loads torch, which the subsets do not need

    index = {name: i for i, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}
    if wnid not in index:
        raise InputError(f"'{wnid}' is not a class of ImageNet-1k: give wnids such as n02086240")
    return index[wnid]
