"""Networks that are trained early once, kept on disk, and taken in turn: IDC's `early_networks`.

They spare most of the early epochs, which are half of IDC's cost. What changes is what is drawn, not the rule: outer
iterations share few networks, each as it was after its early training, where the published code trains one for each.
"""

from pathlib import Path

from tqdm.auto import tqdm

from ddgs_hub.baselines.network_training import NetworkTraining
from ddgs_hub.baselines.streams import Purpose, seed_of
from ddgs_hub.core.checkpoints import Checkpoints


class EarlyNetworks:
    """The networks of a training in a folder, which learnings of the same images share.

    Args:
        folder: of the networks.
        training: what trains them; its network and its optimiser take the state of one of them.
        count: how many there are.
    """

    def __init__(self, folder: str | Path, training: NetworkTraining, count: int) -> None:
        self.folder, self.training, self.count = Path(folder), training, count

    def train(self) -> None:
        """Trains those that are not there; a killed call goes on where the last checkpoint was."""
        training, batches = self.training, self.training.early_batches
        hidden = None if training.accelerator.is_main_process else True
        bar = tqdm(total=self.count * batches, desc="networks", unit="batch", leave=False, delay=2, disable=hidden)
        with bar:
            for number in range(self.count):
                store = self._store(number)
                done = store.restore()
                if not done:
                    training.renew(seed_of(training.seed, Purpose.NETWORK, number))
                bar.update(done)
                for batch in range(done, batches):
                    training.step(batch, training.seed, Purpose.EARLY, number)
                    store.save_when_due(batch + 1, training.settings.save_every)
                    bar.update()
                if done < max(batches, 1):
                    store.save(max(batches, 1))

    def load(self, iteration: int) -> None:
        """Takes network number `iteration` mod their count, in the state after its early training."""
        self._store(iteration % self.count).restore()

    def _store(self, number: int) -> Checkpoints:
        key = self.training.key
        return Checkpoints(self.folder / f"{key}-{number}", key, self.training.parts())
