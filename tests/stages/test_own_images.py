"""Images of one's own, all the way: a folder by class, `init`, `run`, `publish`, `load`."""

import json
from pathlib import Path

import yaml
from hub_server import HubServer
from image_folders import draw_photos, photos_of

REAL = Path(__file__).resolve().parents[3] / "shared/data/imagenette224"  # beside a checkout of the maintainers
TOKEN = "hf_" + "Own0" * 8
TOY = [
    *("data.image_size=16", "codec.training.block_out_channels=[8,8]", "codec.training.steps=4"),
    *("model.pretraining.steps=4", "model.pretraining.hidden_size=16", "model.pretraining.depth=1"),
    *("model.pretraining.num_heads=2", "finetune.epochs=0.05", "pool.num_steps=3", "pool.size=2", "sample.ipc=2"),
    *("score.training.image_size=24", "score.training.epochs=1", "score.training.model_args.channels=[8,8,8,8]"),
    *("evaluate.image_size=16", "evaluate.width=4", "evaluate.epochs=1", "evaluate.repeats=1"),
]
CLASSES = ("English springer", "church", "golf ball", "parachute", "tench")
LOAD = """
import json
import ddgs_hub

data = ddgs_hub.load("ada/photos-ddgs-ipc2", revision="v1.0.0")
print(json.dumps([data.class_names, len(data.rows), data.protocol.image_size]))
"""


def carry_out(hub: HubServer, folder: Path, *arguments: str) -> str:
    done = hub.run(["-m", "ddgs_hub", *arguments], token=TOKEN, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def go_all_the_way(hub: HubServer, folder: Path) -> None:
    """From `folder/photos` to the loaded set, by the lines that a user types."""
    hub.add_user("ada", TOKEN)
    values = json.loads(carry_out(hub, folder, "init", "photos", "--output", "photos.yaml", "--json"))
    assert yaml.safe_load((folder / "photos.yaml").read_text(encoding="utf-8")) == values["recipe"]
    assert set(values["look"]["classes"]) == set(values_of(folder / "photos"))
    sets = [part for value in TOY for part in ("--set", value)]
    out = carry_out(hub, folder, "run", "photos.yaml", *sets)
    # A DiT of four steps makes noise, and the run says so, where it happens and at its end.
    assert out.count("WARNING: this pool is not usable as it is") == 2
    assert "images (the IPC) of difficulty under 0.5" in out
    finished = json.loads((folder / "runs/photos/stages.json").read_text(encoding="utf-8"))
    assert finished["score pool"]["values"]["pool_check"]["usable"] is False
    said = carry_out(hub, folder, "publish", "runs/photos", "--repo", "ada/photos-ddgs-ipc2")
    assert said.startswith("ada/photos-ddgs-ipc2 v1.0.0: the first version")
    loaded = hub.run(LOAD, token=TOKEN)
    assert json.loads(loaded.stdout) == [values_of(folder / "photos"), 10, 16], loaded.stderr


def values_of(photos: Path) -> list[str]:
    """The classes of a folder."""
    return sorted(path.name for path in (photos / "train").iterdir())


def test_from_a_folder_to_the_hub(hub, tmp_path):
    """With real images where there are some, 300 a class at 96 px; else with drawn ones."""
    if REAL.is_dir():
        photos_of(REAL, tmp_path / "photos", names=CLASSES, images=300, validation=20, size=96)
    else:
        draw_photos(tmp_path / "photos", images=12, validation=4, size=24)
    go_all_the_way(hub, tmp_path)
