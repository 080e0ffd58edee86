"""The request that the stage `score` carries out."""

from dataclasses import dataclass
from pathlib import Path

from ddgs_hub.core.files import expanded
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.original import Spool
from ddgs_hub.recipe import ScoreSettings


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """What is to be scored, and by what.

    Attributes:
        source: a Hub dataset id or `owner/name@revision`, a local folder, or `digits`.
        scorer: a Hub id or `owner/name@revision`, or a folder; see `Scorer.from_pretrained`.
        scorer_revision: of a scorer on the Hub.
        split: of the source.
        subset: a name of `subsets.SUBSETS`: its classes alone.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.
        with_images: whether to write the images, too; None: unless `why_withheld` gives a reason not to.
        batch_size: images that are scored together.
        soft_labels: how many classes of each image get their probabilities; None: no such columns.
    """

    source: str
    scorer: str
    scorer_revision: str | None = None
    split: str = "train"
    subset: str | None = None
    config: str | None = None
    revision: str | None = None
    with_images: bool | None = None
    batch_size: int = ScoreSettings().batch_size
    soft_labels: int | None = None

    def __post_init__(self) -> None:
        # `owner/name@revision` and the revision apart are one request.
        for name, revision in (("source", "revision"), ("scorer", "scorer_revision")):
            named = named_revision(getattr(self, name), getattr(self, revision))
            for field, value in zip((name, revision), named, strict=True):
                object.__setattr__(self, field, value)

    @property
    def key(self) -> str:
        """A fingerprint of the request; it changes when local files change."""
        local = (expanded(name) for name in (self.source, self.scorer))
        files = [file for folder in local if folder.is_dir() for file in sorted(folder.rglob("*")) if file.is_file()]
        states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        # In the words of earlier versions, so that what they have finished is found again.
        names = ("source", "scorer", "split", "subset", "config", "revision")
        request = {name: getattr(self, name) for name in names}
        request |= {"images": self.with_images, "batch_size": self.batch_size}
        if self.scorer_revision is not None:
            request["scorer_revision"] = self.scorer_revision
        if self.soft_labels is not None:
            request["soft_labels"] = self.soft_labels
        return fingerprint([request, states])

    @property
    def source_name(self) -> str:
        """The source as it is published."""
        return _public_name(self.source)

    @property
    def scorer_name(self) -> str:
        """The scorer as it is published."""
        return _public_name(self.scorer)

    def spool(self, folder: Path) -> Spool:
        """The rows that are to be scored, to be fetched into `folder`."""
        part = {"subset": self.subset, "config": self.config, "revision": self.revision}
        return Spool(self.source, self.split, folder, **part)


def _public_name(name: str) -> str:
    """A Hub id, or only the name of a local folder: paths of this machine are not published."""
    folder = expanded(name)
    return folder.resolve().name if folder.is_dir() else name
