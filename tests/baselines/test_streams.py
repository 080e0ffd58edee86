"""Streams of batches: what the published loaders do, as functions of a seed and a position."""

import pytest
import torch

from ddgs_hub.baselines.streams import (
    class_batch,
    generator_of,
    mixed_batch,
    pass_length,
    seed_of,
    without_repetition,
)


def test_an_epoch_of_the_mixed_stream_has_every_image_once_and_keeps_the_short_last_batch():
    batches = [mixed_batch(10, 4, position, 7) for position in range(6)]
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(10))
    assert not torch.equal(torch.cat(batches[:3]), torch.cat(batches[3:]))


def test_a_pass_goes_on_where_the_last_one_stopped():
    # As published: 500 images in batches of 64 are 8 batches; here an epoch is 4, 4 and 2 images.
    position, taken = 0, []
    for _ in range(4):
        length = pass_length(10, 4, position, 6)
        taken.append([len(mixed_batch(10, 4, position + k, 7)) for k in range(length)])
        position += length
    assert taken == [[4, 4], [2, 4], [4, 2], [4, 4]]
    assert pass_length(12454, 64, 0, 500) == 8
    assert pass_length(3, 64, 5, 500) == 167


def test_the_stream_of_a_class_drops_the_short_last_batch_and_is_shuffled_anew():
    batches = [class_batch(10, 4, position, 7, 1) for position in range(40)]
    assert {len(batch) for batch in batches} == {4}
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert len(set(first.tolist()) | set(second.tolist())) == 8
    assert {row for batch in batches for row in batch.tolist()} == set(range(10))


def test_a_class_with_fewer_images_than_a_batch_gives_them_all():
    assert [sorted(class_batch(3, 64, position, 7, 1).tolist()) for position in range(5)] == [[0, 1, 2]] * 5


def test_a_draw_without_repetition_has_no_image_twice_and_all_where_there_are_few():
    drawn = without_repetition(300, 256, 7, 0)
    assert len(drawn) == len(set(drawn.tolist())) == 256
    assert sorted(without_repetition(5, 256, 7, 0).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("other", [(7, 1, 1), (7, 2), (8, 1), (7, 1, 0), (0, 7, 1), (7,)])
def test_other_keys_draw_other_numbers(other):
    assert seed_of(7, 1) != seed_of(*other)
    assert not torch.equal(without_repetition(50, 50, 7, 1), without_repetition(50, 50, *other))
    draws = [torch.rand(4, generator=generator_of(*key)) for key in ((7, 1), other)]
    assert not torch.equal(*draws)


def test_equal_keys_draw_equal_numbers_whatever_was_drawn_before():
    first = mixed_batch(10, 4, 5, 7)
    torch.rand(3)
    assert torch.equal(mixed_batch(10, 4, 5, 7), first)
    assert torch.equal(torch.rand(3, generator=generator_of(7, 1)), torch.rand(3, generator=generator_of(7, 1)))
