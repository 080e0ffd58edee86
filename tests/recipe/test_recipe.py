"""Recipes: what comes with the package, reading and writing, and what is wrong with one that is refused."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from ddgs_hub.core.errors import InputError
from ddgs_hub.original import SUBSETS
from ddgs_hub.recipe import (
    DMSettings,
    FinetuneSettings,
    IDCSettings,
    PoolSettings,
    Protocol,
    Recipe,
    SampleSettings,
    changed_keys,
    completed,
    load_recipe,
    parse_recipe,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    values_of_run,
)

MATCHING = ("dm", "idc")
MINIMAL: dict[str, Any] = {
    "name": "tiny",
    "data": {"original": "digits"},
    "hub": {"dataset": "tiny-ipc{ipc}", "pretty_name": "Tiny"},
}


def nested(keys: str, value: Any) -> dict[str, Any]:
    """The minimal recipe with one value, at `section.key`, changed or added."""
    values = yaml.safe_load(yaml.safe_dump(MINIMAL))
    *sections, last = keys.split(".")
    part = values
    for section in sections:
        part = part.setdefault(section, {})
    part[last] = value
    return values


def float_keys(section: Any = Recipe, prefix: str = "") -> Iterator[str]:
    """The dotted keys of all numbers of a recipe that are no whole ones, in every section and in those within it."""
    hints = get_type_hints(section)
    for field in dataclasses.fields(section):
        members = get_args(hints[field.name]) or (hints[field.name],)
        nested = next((member for member in members if dataclasses.is_dataclass(member)), None)
        if nested:
            yield from float_keys(nested, f"{prefix}{field.name}.")
        elif float in members:
            yield f"{prefix}{field.name}"


FLOATS = list(float_keys())


class TestPackagedRecipes:
    def test_names(self) -> None:
        assert recipe_names() == ["digits", "evidence64", "imageidc", "imagenette", "imagenette64", "imagewoof"]

    @pytest.mark.parametrize("name", recipe_names())
    def test_loads_under_its_own_name(self, name: str) -> None:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert "{ipc}" in recipe.hub.dataset

    @pytest.mark.parametrize("name", SUBSETS)
    def test_paper_scale(self, name: str) -> None:
        recipe = load_recipe(name)
        assert (recipe.data.original, recipe.data.subset) == ("ILSVRC/imagenet-1k", name)
        assert (recipe.model.base, recipe.model.label_space) == ("facebook/DiT-XL-2-256", "imagenet")
        assert recipe.score.scorer == "timm/resnet50.tv_in1k"
        # The defaults are the paper's hyper-parameters; what a recipe spells out must not drift from them.
        assert (recipe.finetune, recipe.pool, recipe.sample) == (FinetuneSettings(), PoolSettings(), SampleSettings())
        assert recipe.evaluate == Protocol()
        assert (recipe.dm, recipe.idc) == (DMSettings(), IDCSettings())

    @pytest.mark.parametrize(
        ("name", "reported"),
        [
            ("imagewoof", ["37.4 ± 0.3", "45.5 ± 0.4", "57.1 ± 0.9"]),
            ("imagenette", ["61.5 ± 0.9", "66.9 ± 0.5", "76.8 ± 0.7"]),
            ("imageidc", ["61.6 ± 0.7", "64.3 ± 0.5", "74.2 ± 0.7"]),
        ],
    )
    def test_what_the_paper_reports(self, name: str, reported: list[str]) -> None:
        paper = load_recipe(name).paper
        assert [paper[f"ResNetAP-10, IPC {ipc}"] for ipc in (10, 20, 50)] == reported


class TestDefaults:
    def test_of_the_paper(self) -> None:
        recipe = parse_recipe(MINIMAL)
        assert dataclasses.astuple(recipe.finetune)[:8] == (8, 8, 1e-3, 0.1, 0.9999, 64, 0.002, 0.008)
        assert dataclasses.astuple(recipe.pool)[:4] == (5, 50, 4.0, 3)
        assert dataclasses.astuple(recipe.sample) == (10, "scale", 0.5, "paper", 0.5, None)
        assert (recipe.codec.encoder, recipe.codec.decoder) == (
            "stabilityai/sd-vae-ft-ema",
            "stabilityai/sd-vae-ft-mse",
        )

    def test_a_recipe_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            parse_recipe(MINIMAL).seed = 1  # type: ignore[misc]


class TestReadingAndWriting:
    @pytest.mark.parametrize("name", recipe_names())
    def test_round_trip(self, name: str, tmp_path: Path) -> None:
        recipe = load_recipe(name, ["seed=7", "finetune.learning_rate=0.0003"])
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe_to_yaml(recipe), encoding="utf-8")
        assert load_recipe(path) == recipe
        assert yaml.safe_load(recipe_to_yaml(recipe)) == recipe_to_dict(recipe)

    def test_every_default_is_written(self) -> None:
        written = recipe_to_dict(parse_recipe(MINIMAL))
        assert set(written) == {field.name for field in dataclasses.fields(Recipe)} - {"several"}
        assert written["evaluate"]["lr_decay"] == 0.2

    def test_a_recipe_of_before_the_sections_of_matching_is_read_with_the_published_ones(self) -> None:
        before = {
            name: value for name, value in recipe_to_dict(load_recipe("digits")).items() if name[:2] not in ("dm", "id")
        }
        before["pool"] = {key: before["pool"][key] for key in [*before["pool"]][:5]}  # of before guides, too
        del before["score"]["soft_labels"], before["evaluate"]["labels"]  # and of before soft labels
        recipe = parse_recipe(before)
        assert (recipe.dm, recipe.idc) == (DMSettings(), IDCSettings())
        assert before == values_of_run(recipe) == values_of_run(load_recipe("digits", ["dm.steps=3", "idc.early=0"]))

    def test_a_guide_is_in_the_values_of_a_run_where_it_guides(self) -> None:
        guided = values_of_run(load_recipe("digits", ["pool.guide=modes", "pool.modes.strength=0.2"]))
        assert guided["pool"]["guide"] == "modes"
        assert guided["pool"]["modes"] == {"strength": 0.2, "share": 0.5, "count": None}
        assert values_of_run(load_recipe("digits", ["pool.modes.strength=0.2"])) == values_of_run(load_recipe("digits"))

    def test_keys_that_came_later_have_their_defaults_in_a_recipe_of_before(self) -> None:
        now = recipe_to_dict(load_recipe("digits"))
        before = {**now, "pool": {"size": 6}}
        assert changed_keys(completed(before), now) == {
            "pool.size": [6, 5],
            "pool.guidance_scale": [4.0, 2.0],
            "pool.batch_size": [50, 100],
        }
        assert completed({"name": "a"}) == {"name": "a"}  # no recipe of this version: as it is
        assert completed(None) is None

    def test_no_difference(self) -> None:
        assert changed_keys(recipe_to_dict(load_recipe("digits")), recipe_to_dict(load_recipe("digits"))) == {}

    @pytest.mark.parametrize(
        ("overrides", "changed"),
        [
            (["seed=3"], {"seed": [0, 3]}),
            (["pool.size=2", "seed=3"], {"seed": [0, 3], "pool.size": [5, 2]}),  # in the order of the recipe
            (["data.subset=imagewoof"], {"data.subset": [None, "imagewoof"]}),
        ],
    )
    def test_changed_keys(self, overrides: list[str], changed: dict[str, list[Any]]) -> None:
        found = changed_keys(recipe_to_dict(load_recipe("digits")), recipe_to_dict(load_recipe("digits", overrides)))
        assert list(found.items()) == list(changed.items())

    def test_a_difference_is_also_a_key_that_only_one_has(self) -> None:
        a = {"seed": 1, "pool": {"size": 5, "old": None}, "data": {"config": None}}
        b = {"seed": 1, "pool": {"size": 6}, "data": {"config": {"a": 1}}, "new": [1]}
        assert changed_keys(a, b) == {"data.config": [None, {"a": 1}], "new": [None, [1]], "pool.size": [5, 6]}
        assert changed_keys({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}) == {"a.y": [2, None]}
        assert changed_keys(None, {"seed": 1}) == {"recipe": [None, {"seed": 1}]}


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "read", "value"),
        [
            ("sample.ipc=50", lambda r: r.sample.ipc, 50),
            ("finetune.learning_rate=1e-4", lambda r: r.finetune.learning_rate, 1e-4),
            ("codec.training.block_out_channels=[8, 16]", lambda r: r.codec.training.block_out_channels, [8, 16]),
            ("data.revision=refs/pr/1", lambda r: r.data.revision, "refs/pr/1"),
            ("hub.note=a=b", lambda r: r.hub.note, "a=b"),
            ("evaluate={network: convnet3, flip: false}", lambda r: r.evaluate.network, "convnet3"),
        ],
    )
    def test_of_every_kind(self, override: str, read: Callable[[Recipe], Any], value: Any) -> None:
        assert read(load_recipe("digits", [override])) == value

    def test_the_last_one_counts(self) -> None:
        assert load_recipe("digits", ["seed=1", "seed=2"]).seed == 2

    def test_into_a_section_that_was_null(self, tmp_path: Path) -> None:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe_to_yaml(parse_recipe(MINIMAL)))
        assert yaml.safe_load(path.read_text())["score"]["training"] is None
        training = load_recipe(path, ["score.training.folds=3"]).score.training
        assert training is not None
        assert training.folds == 3

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("ipc", r"--set takes SECTION\.KEY=VALUE, such as finetune\.epochs=2, got 'ipc'"),
            ("=3", r"--set takes SECTION\.KEY=VALUE"),
            ("name.first=x", r"--set name\.first=x: 'name' is a value, not a section"),
            ("sample.ipc=[1", r"--set sample\.ipc=\[1: '\[1' is not valid YAML"),
            ("sample.ipcs=1", r"unknown key 'sample\.ipcs'; known are ipc, distribution"),
            ("sample.ipc=ten", r"sample\.ipc: input should be a valid integer.*got 'ten'"),
        ],
    )
    def test_wrong(self, override: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            load_recipe("digits", [override])


class TestErrors:
    @pytest.mark.parametrize(
        ("keys", "value", "message"),
        [
            # unknown keys
            ("sead", 1, r"recipe: unknown key 'sead'; known are name, data, hub, seed, "),
            ("pool.images", 5, r"unknown key 'pool\.images'; known are size, num_steps, guidance_scale, guid"),
            ("codec.training", {"block_out_channels": [8], "depth": 2}, r"unknown key 'codec\.training\.depth'; known"),
            # wrong types
            ("sample.ipc", "ten", r"sample\.ipc: input should be a valid integer.*, got 'ten'"),
            ("sample.ipc", 2.5, r"sample\.ipc: input should be a valid integer.*, got 2\.5"),
            ("finetune.epochs", [8], r"finetune\.epochs: input should be a valid number, got \[8\]"),
            ("data.flip", "perhaps", r"data\.flip: input should be a valid boolean.*, got 'perhaps'"),
            ("name", 3, r"name: input should be a valid string, got 3"),
            ("pool", 5, r"pool: input should be a dictionary.*, got 5"),
            ("pool", None, r"pool: input should be a dictionary.*, got None"),
            ("paper.1", 37.4, r"paper\.1: input should be a valid string, got 37\.4"),
            # out of range
            ("seed", -1, r"seed: input should be greater than or equal to 0, got -1"),
            ("seed", 2**32, r"seed: input should be less than 4294967296"),
            ("sample.ipc", 0, r"sample\.ipc: input should be greater than or equal to 1, got 0"),
            ("sample.weight", 1.5, r"sample\.weight: input should be less than or equal to 1, got 1\.5"),
            ("sample.weight", float("nan"), r"sample\.weight: .*got nan"),
            ("finetune.learning_rate", float("inf"), r"finetune\.learning_rate: .*got inf"),
            ("finetune.ema_decay", 1, r"finetune\.ema_decay: input should be less than 1, got 1"),
            ("pool.guidance_scale", 0.5, r"pool\.guidance_scale: input should be greater than or equal to 1"),
            ("pool.num_steps", 1001, r"pool\.num_steps: input should be less than or equal to 1000, got 1001"),
            ("data.subset", "imagemeow", r"data\.subset: input should be 'imagewoof', 'imagenette' or 'imageidc'"),
            ("sample.distribution", "valley", r"sample\.distribution: input should be 'scale', .* got 'valley'"),
            ("dm.network", "alexnet", r"dm\.network: unknown network 'alexnet'"),
            ("dm.strategy", ["colour"], r"dm\.strategy\.0: input should be 'color', 'crop', .* got 'colour'"),
            ("dm.momentum", 1, r"dm\.momentum: input should be less than 1, got 1"),
            ("idc.metric", "cosine", r"idc\.metric: input should be 'l1' or 'mse', got 'cosine'"),
            ("idc.early", -1, r"idc\.early: input should be greater than or equal to 0, got -1"),
            ("idc.early_networks", 0, r"idc\.early_networks: input should be greater than or equal to 1, got 0"),
            ("evaluate.network", "alexnet", r"evaluate\.network: unknown network 'alexnet'"),
            ("name", "../elsewhere", r"name: string should match pattern"),
            ("hub.dataset", "", r"hub\.dataset: string should match pattern"),
            # what does not fit together
            ("model", {"base": None}, r"model: give a base or a pretraining section"),
            ("score", {"scorer": None}, r"score: give a scorer or a training section"),
            ("model.pretraining", {"hidden_size": 10, "depth": 1, "num_heads": 4}, r"hidden_size 10 is not a multiple"),
            ("codec.training", {"block_out_channels": [8, 12]}, r"block_out_channels 12 is not a multiple of norm_g"),
            ("codec.training", {"block_out_channels": []}, r"block_out_channels: list should have at least 1 item"),
            ("pool.difficulty", {"begin": 0.6, "end": 0.6}, r"pool\.difficulty: begin 0\.6 is not below end 0\.6"),
            ("pool.guide", "mode", r"pool\.guide: input should be 'none', 'modes' or 'difficulty', got 'mode'"),
            ("data.flip", False, r"recipe: evaluate\.flip is true and data\.flip false"),
        ],
    )
    def test_one_sentence_names_the_key_and_the_value(self, keys: str, value: Any, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            parse_recipe(nested(keys, value))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("key", ["name", "data", "hub"])
    def test_a_key_is_missing(self, key: str) -> None:
        with pytest.raises(InputError, match=f"recipe: the key '{key}' is missing"):
            parse_recipe({name: value for name, value in MINIMAL.items() if name != key})

    def test_every_section_has_numbers_that_the_next_test_knows(self) -> None:
        assert {key.rpartition(".")[0] for key in FLOATS} == {
            *(
                "data",
                "codec.training",
                "model.pretraining",
                "finetune",
                "pool",
                "pool.modes",
                "pool.difficulty",
                "score.training",
                "sample",
                "evaluate",
            ),
            *("dm", "idc"),
        }

    @pytest.mark.parametrize("key", FLOATS)
    @pytest.mark.parametrize("text", [".nan", ".inf", "-.inf"])
    def test_no_number_is_infinite_or_none(self, key: str, text: str) -> None:
        with pytest.raises(InputError, match=rf"{re.escape(key)}: .*, got -?(nan|inf)"):
            load_recipe("digits", [f"{key}={text}"])

    @pytest.mark.parametrize("text", ["{drop_rate: .nan}", "{stem: {width: .inf}}"])
    def test_nor_is_one_of_the_arguments_of_a_timm_model(self, text: str) -> None:
        with pytest.raises(InputError, match=r"score\.training\.model_args\..*finite number, got (nan|inf)"):
            load_recipe("digits", [f"score.training.model_args={text}"])

    def test_a_misspelt_key_is_named_rather_than_the_one_it_stands_for(self) -> None:
        values = {"nmae" if name == "name" else name: value for name, value in MINIMAL.items()}
        with pytest.raises(InputError, match="recipe: unknown key 'nmae'; known are name, "):
            parse_recipe(values)

    def test_an_image_size_that_the_autoencoder_cannot_halve(self) -> None:
        with pytest.raises(InputError, match=r"data\.image_size 18 is not a multiple of 4 px"):
            load_recipe("digits", ["data.image_size=18"])

    def test_unknown_recipe(self) -> None:
        with pytest.raises(
            InputError, match=r"unknown recipe 'imagemeow': choose one of digits, .* give a \.yaml file"
        ):
            load_recipe("imagemeow")

    def test_folder_instead_of_a_recipe(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"is a folder, and no recipe: .*`ddgs-hub init .* writes one for them"):
            load_recipe(str(tmp_path))
        (tmp_path / "recipe.yaml").touch()
        with pytest.raises(InputError, match=r"is a folder, and no recipe: give .*recipe\.yaml"):
            load_recipe(str(tmp_path))

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot read recipe .*none\.yaml: No such file"):
            load_recipe(tmp_path / "none.yaml")

    def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "folder.yaml").mkdir()
        with pytest.raises(InputError, match=r"cannot read recipe .*folder\.yaml: Is a directory"):
            load_recipe(tmp_path / "folder.yaml")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"name: [tiny\n", "is not valid YAML"),
            ("name: é\n".encode("latin-1"), "is not valid YAML"),
            (b"\x00\x01\x02", "is not valid YAML"),
            (b"", "is not a mapping of sections"),
            (b"- a\n- b\n", "is not a mapping of sections"),
            (yaml.safe_dump(MINIMAL).encode() + b"1: 2\n", "keys should be strings, got 1"),
        ],
        ids=["unclosed", "latin-1", "binary", "empty", "list", "number as key"],
    )
    def test_a_file_that_is_no_recipe(self, content: bytes, message: str, tmp_path: Path) -> None:
        path = tmp_path / "bad.yaml"
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_recipe(path)


class TestRepositoriesAndIpcs:
    @pytest.mark.parametrize(
        ("key", "revision"),
        [("data.original", "data.revision"), ("model.base", "model.revision"), ("score.scorer", "score.revision")],
    )
    def test_a_repository_may_be_named_with_its_revision(self, key: str, revision: str) -> None:
        section, name = key.split(".")
        together = parse_recipe(nested(key, "acme/it@v1.0.0"))
        apart = nested(key, "acme/it")
        apart[section]["revision"] = "v1.0.0"
        assert recipe_to_dict(together) == recipe_to_dict(parse_recipe(apart))
        assert getattr(getattr(together, section), name) == "acme/it"
        apart[section] |= {name: "acme/it@v2.0.0"}
        with pytest.raises(InputError, match=r"names a revision, and 'v1.0.0' is given as well"):
            parse_recipe(apart)
        assert revision in changed_keys(recipe_to_dict(together), recipe_to_dict(parse_recipe(nested(key, "acme/it"))))

    def test_ipc_may_be_a_list(self) -> None:
        recipe = parse_recipe(nested("sample.ipc", [50, 10, 20]))
        assert (recipe.ipcs, recipe.sample.ipc) == ((10, 20, 50), 50)
        assert recipe_to_dict(recipe)["sample"]["ipc"] == [10, 20, 50]
        assert parse_recipe(recipe_to_dict(recipe)) == recipe
        one = recipe.with_ipc(20)
        assert (one.ipcs, recipe_to_dict(one)["sample"]["ipc"]) == ((20,), 20)
        assert one == parse_recipe(nested("sample.ipc", [20])) == parse_recipe(nested("sample.ipc", 20))
        assert dataclasses.replace(recipe, sample=SampleSettings(ipc=5)).ipcs == (5,)

    @pytest.mark.parametrize("ipc", [[], [10, 10], [0], [True], ["10"], [10, None]])
    def test_lists_that_are_none(self, ipc: object) -> None:
        with pytest.raises(InputError, match=r"sample.ipc: give numbers from 1 on, each once, as"):
            parse_recipe(nested("sample.ipc", ipc))

    def test_several_without_brackets_are_told_of_them(self) -> None:
        with pytest.raises(InputError, match=r"sample.ipc: give several as a list, \[10,20\]"):
            load_recipe("digits", ["sample.ipc=10,20"])

    def test_each_set_of_several_needs_a_repository(self) -> None:
        values = {**nested("sample.ipc", [1, 2]), "hub": {"dataset": "tiny", "pretty_name": "Tiny"}}
        with pytest.raises(InputError, match=r"hub.dataset needs \{ipc\} in it"):
            parse_recipe(values)
