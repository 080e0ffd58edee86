"""Trains a ResNet-18 on a distilled dataset, by its protocol, and tests it on real images.

accelerate launch examples/train_resnet18.py OWNER/digits-ddgs-ipc10 --revision v1.0.0 --validation runs/digits/original
"""

import argparse
import time

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader

import ddgs_hub
from ddgs_hub.evaluation import build_network, images_per_class

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("repo", help="Hub id of a distilled dataset, or a folder such as runs/digits/hub/digits-ddgs-ipc10")
parser.add_argument("--revision", help="a version, such as v1.0.0")
parser.add_argument(
    "--validation", required=True, help="Hub id or folder with a split 'validation', as of `ddgs-hub prepare`"
)
parser.add_argument("--epochs", type=int, help="by default those of the protocol")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

accelerator = Accelerator(cpu=not torch.accelerator.is_available())  # without GPUs, too, several processes are several
set_seed(arguments.seed, device_specific=True)
data = ddgs_hub.load(arguments.repo, revision=arguments.revision)
tests = ddgs_hub.load(arguments.validation, split="validation").rows
protocol = data.protocol
epochs = arguments.epochs or protocol.epochs_for(images_per_class(data.rows))

# The ResNet-18 of the paper's tables: instance instead of batch normalisation, which ten images a class do not feed,
# and a stem that follows the image size.
network = build_network("resnet18", len(data.class_names), protocol.image_size)
optimizer = torch.optim.SGD(
    network.parameters(), protocol.learning_rate, protocol.momentum, weight_decay=protocol.weight_decay
)
schedule = MultiStepLR(optimizer, protocol.milestones(epochs), protocol.lr_decay)  # steps once an epoch
size = max(1, protocol.batch_size // accelerator.num_processes)  # images a process
train_loader = DataLoader(data.training_rows(), size, shuffle=True)
test_loader = DataLoader(data.validation_rows(tests), size)
network, optimizer, train_loader, test_loader = accelerator.prepare(network, optimizer, train_loader, test_loader)

accelerator.print(f"{len(data.rows)} images of {data.repo_id} at {data.commit or 'this folder'}, {epochs} epochs")
start = time.monotonic()
for epoch in range(1, epochs + 1):
    network.train()
    for batch in train_loader:
        images, targets = data.mix(batch["image"], batch["label"])
        loss = cross_entropy(network(images), targets)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
    schedule.step()
    if epoch % max(1, epochs // 20) == 0:  # some twenty lines, on a terminal and in the log of a cluster
        accelerator.print(f"epoch {epoch} of {epochs}: loss {loss:.3f}, {time.monotonic() - start:.0f} s", flush=True)

network.eval()
correct = []
for batch in test_loader:
    with torch.inference_mode():
        right = network(batch["image"]).argmax(1) == batch["label"]
    correct.append(accelerator.gather_for_metrics(right))
accelerator.print(f"accuracy on {len(tests)} validation images: {100 * torch.cat(correct).float().mean():.1f} %")
accelerator.end_training()
