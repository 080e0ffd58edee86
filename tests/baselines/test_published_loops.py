"""The published loops, written plainly with torch's own optimisers, make the same images from the same draws."""

from dataclasses import replace

import torch
from matching_data import DM, IDC, embedding, network, real_images
from torch.nn import functional as F

from ddgs_hub.baselines import augment, draw_chain, draw_cutmix, draw_one, learn_dm, learn_idc
from ddgs_hub.baselines.idc import mixed
from ddgs_hub.baselines.streams import Purpose, class_batch, generator_of, mixed_batch, seed_of, without_repetition

SEED, IPC, CLASSES, SIDE = 5, 2, 3, 16
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def test_dm():
    real = real_images()
    by_class = [real.normalize(real.images[real.labels == label].float() / 255) for label in range(CLASSES)]
    starts = [own[without_repetition(len(own), IPC, SEED, Purpose.START, label)] for label, own in enumerate(by_class)]
    images = torch.stack(starts).requires_grad_()
    optimizer = torch.optim.SGD([images], lr=DM.lr, momentum=DM.momentum)
    losses = []
    for step in range(DM.steps):
        psi, loss = embedding(seed_of(SEED, Purpose.NETWORK, step)), 0
        for label, own in enumerate(by_class):
            draws = draw_one(DM.strategy, SIDE, SIDE, generator_of(SEED, Purpose.VIEW, step, label))
            batch = own[without_repetition(len(own), DM.batch_real, SEED, Purpose.REAL, step, label)]
            gap = psi(augment(batch, draws)).detach().mean(0) - psi(augment(images[label], draws)).mean(0)
            loss = loss + (gap**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / CLASSES)
    made, noted = learn_dm(real, DM, embedding, ipc=IPC, seed=SEED)
    torch.testing.assert_close(made, real.unnormalize(images.detach()).clamp(0, 1), **CLOSE)
    torch.testing.assert_close(torch.tensor(noted), torch.tensor(losses), **CLOSE)
    assert images.abs().max() > 2.5  # beyond what clipping would leave


def trained(theta, optimizer, real, position):
    """One batch of the mixed stream: augmentation of each image, and CutMix."""
    rows = mixed_batch(len(real.labels), IDC.batch_real, position, SEED, Purpose.TRAINING)
    generator = generator_of(SEED, Purpose.TRAINING, position, Purpose.VIEW)
    draws = draw_chain(IDC.training_strategy, len(rows), SIDE, SIDE, generator)
    cutmix = draw_cutmix(len(rows), SIDE, SIDE, generator)
    views, stayed = mixed(augment(real.normalized(rows), draws), cutmix)
    labels, logits = real.labels[rows], theta(views)
    partner = F.cross_entropy(logits, labels[cutmix.partners])
    optimizer.zero_grad()
    (stayed * F.cross_entropy(logits, labels) + (1 - stayed) * partner).backward()
    optimizer.step()
    return len(rows)


def gradients(theta, images, label, **how):
    labels = torch.full((len(images),), label)
    weights = [weight for weight in theta.parameters() if weight.ndim == 4]
    return torch.autograd.grad(F.cross_entropy(theta(images), labels), weights, **how)


def test_idc():
    real = real_images()
    by_class = [real.images[real.labels == label].float() / 255 for label in range(CLASSES)]
    images = torch.stack([own[:IPC] for own in by_class]).requires_grad_()
    lr = 20.0  # so that the images leave [0, 1], and the clamp counts
    optimizer = torch.optim.SGD([images], lr=lr * IPC / 10 * (SIDE / 224) ** 2, momentum=IDC.momentum_images)
    position, losses, left = 0, [], 0.0
    for iteration in range(IDC.outer_iterations):
        images.data.clamp_(0, 1)
        theta = network(seed_of(SEED, Purpose.NETWORK, iteration))
        sgd = torch.optim.SGD(theta.parameters(), IDC.lr, IDC.momentum, weight_decay=IDC.weight_decay)
        for _ in range(4):  # one epoch of 14 images in batches of 4
            trained(theta, sgd, real, position)
            position += 1
        for inner in range(IDC.inner_loop):
            turn, total = iteration * IDC.inner_loop + inner, 0
            for label, own in enumerate(by_class):
                draws = draw_chain(IDC.strategy, 1, SIDE, SIDE, generator_of(SEED, Purpose.VIEW, turn, label))
                batch = own[class_batch(len(own), IDC.batch_real, turn, SEED, Purpose.REAL, label)]
                targets = gradients(theta, augment(real.normalize(batch), draws), label)
                ours = gradients(theta, augment(real.normalize(images[label]), draws), label, create_graph=True)
                loss = sum((a - b).abs().sum() for a, b in zip(targets, ours, strict=True))
                optimizer.zero_grad()
                loss.backward(inputs=[images])
                optimizer.step()
                total += loss.item() / CLASSES
            losses.append(total)
            left = max(left, images.max().item() - 1)
            taken = 0
            while taken < IDC.images_per_pass:
                taken += trained(theta, sgd, real, position)
                position += 1
    made, noted = learn_idc(real, replace(IDC, lr_images=lr), network, ipc=IPC, seed=SEED)
    torch.testing.assert_close(torch.tensor(noted), torch.tensor(losses), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(made, images.detach().clamp(0, 1), atol=1e-3, rtol=1e-3)
    assert left > 0.01
