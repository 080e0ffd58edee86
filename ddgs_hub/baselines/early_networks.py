"""Networks that are trained early once, kept on disk, and taken in turn: IDC's `early_networks`.

They spare most of the early epochs, which are half of IDC's cost. What changes is what is drawn, not the rule: outer
iterations share few networks, each as it was after its early training, where the published code trains one for each.
"""

from pathlib import Path

from ddgs_hub.baselines.network_training import NetworkTraining
from ddgs_hub.baselines.streams import Purpose, seed_of
from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.staging import locked_for_launch


class EarlyNetworks:
    """The networks of a training in a folder, which learnings of the same images share, also at the same time.

    Args:
        folder: of the networks.
        training: what trains them; its network and its optimiser take the state of one of them.
        count: how many there are.
    """

    def __init__(self, folder: str | Path, training: NetworkTraining, count: int) -> None:
        self.folder, self.training, self.count = Path(folder), training, count

    def train(self) -> None:
        """Trains those that are not there; a killed call goes on where the last checkpoint was.

        While another command works on one of them, this one waits for it, and takes what it has made.

        Raises:
            InputError: the folder cannot be written or locked.
        """
        for number in range(self.count):
            self.load(number)

    def load(self, iteration: int) -> None:
        """Takes network number `iteration` mod their count, in the state after its early training.

        One that is missing or cannot be read is trained again.

        Raises:
            InputError: as `train`.
        """
        number, key = iteration % self.count, self.training.key
        folder = self.folder / f"{key}-{number}"
        # Also to read: what is damaged is removed, which another command may just have made again.
        with locked_for_launch(folder, wait=True):
            self._complete(Checkpoints(folder, key, self.training.parts()), number)

    def _complete(self, store: Checkpoints, number: int) -> None:
        """Takes what is stored of a network, and carries out what is left of its training."""
        training, batches = self.training, self.training.early_batches
        done = store.restore()
        if not done:
            training.renew(seed_of(training.seed, Purpose.NETWORK, number))
        images = training.settings.batch_real
        progress = Progress(f"network {number + 1} of {self.count}", batches, unit="step", done=done, images=images)
        for batch in progress.over(range(done, batches)):
            training.step(batch, training.seed, Purpose.EARLY, number)
            store.save_when_due(batch + 1, training.settings.save_every)
        if done < max(batches, 1):
            store.save(max(batches, 1))
