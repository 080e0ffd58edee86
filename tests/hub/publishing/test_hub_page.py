"""What the Hub shows of what is published: the paper, what its viewer and Croissant say of the rows, and versions."""

import io

import pyarrow.parquet as pq
from datasets import Features, load_dataset_builder
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard
from published import REPO, configs, export, export_with_pool, the_repository

from ddgs_hub.hub import publish
from ddgs_hub.hub.layout import config_pattern


def test_the_page_of_the_paper_finds_the_dataset(api, run):
    publish(run, REPO, api=api)
    assert "arxiv:2507.03331" in api.dataset_info(REPO).tags  # by the link in the text, as the Hub documents it


def test_the_front_matter_says_of_every_configuration_what_its_files_hold(hub, api, tmp_path):
    publish(export_with_pool(tmp_path), REPO, pool=True, api=api)
    repository = the_repository(hub)
    card = DatasetCard(repository.read("README.md").decode())
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    assert sorted(infos) == sorted(configs(repository)) == ["default", "original", "pool"]
    for name, info in infos.items():
        path = config_pattern(name).replace("*", "00000-of-00001")
        file = pq.ParquetFile(io.BytesIO(repository.read(path)))
        assert info.features == Features.from_arrow_schema(file.schema_arrow)
        assert info.splits["train"].num_examples == file.metadata.num_rows
        assert info.splits["train"].num_bytes == info.dataset_size
        assert info.download_size == len(repository.read(path))


def test_stock_datasets_knows_the_features_without_opening_a_file(run):
    folder = run / "hub" / "tiny-ddgs-ipc2"
    info = load_dataset_builder(str(folder)).info
    assert info.splits["train"].num_examples == 4
    assert list(info.features) == ["image", "label", "seed", "difficulty"]


def test_rows_that_are_only_stored_anew_are_no_new_rows(hub, api, tmp_path):
    folder = export(tmp_path) / "hub" / "tiny-ddgs-ipc2"
    [file] = folder.glob("data/*.parquet")
    pq.write_table(pq.read_table(file), file, compression="snappy")  # as earlier versions of ddgs-hub stored them
    publish(tmp_path, REPO, api=api)
    made = publish(export(tmp_path), REPO, api=api)
    assert made.version == "v1.0.1"
    assert made.changes == "the same rows; changed: data/train-00000-of-00001.parquet"
    assert publish(tmp_path, REPO, api=api).action == "unchanged"
