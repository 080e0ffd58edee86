"""Class-named pictures from another generator, to the end: scored, sampled, published, loaded, resampled."""

import json
from pathlib import Path

import pytest
from builders import write_scorer
from datasets import ClassLabel, Dataset, Features, Image
from hub_datasets import encoded
from hub_server import HubServer
from published import TOKEN, configs, provenance

from ddgs_hub.core.rows import read_rows, write_rows

CLASSES = ["cat", "dog", "emu"]
IN_ANOTHER_ORDER = ["emu", "cat", "dog"]
SHARD = "train-00000-of-00001.parquet"
REPO = "acme/painted-ipc2"
# Carries out command lines one after the other in a process, and prints of each its exit code, output and errors.
RUN = """
import contextlib, io, json, sys
import ddgs_hub
from ddgs_hub.cli import main as cli

done = []
for arguments in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if arguments[0] == "load":
                loaded = ddgs_hub.load(arguments[1])
                print(json.dumps([loaded.rows.column_names, loaded.protocol.image_size, loaded.version]))
            else:
                sys.argv = ["ddgs-hub", *arguments]
                cli.main()
        except SystemExit as exit:
            code = exit.code or 0
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""


def carry_out(hub: HubServer, folder: Path, *lines: str) -> list[tuple[int, str, str]]:
    done = hub.run(RUN, json.dumps([line.split(" ") for line in lines]), token=TOKEN, cwd=folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with `pictures/<class>/`, 8 a class, originals with the classes in another order, and a scorer."""
    for label, name in enumerate(CLASSES):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(8):
            (tmp_path / "pictures" / name / f"{k}.jpg").write_bytes(encoded(100 * label + k, 12))
    features = Features(image=Image(), label=ClassLabel(names=IN_ANOTHER_ORDER))
    images = [{"bytes": encoded(1_000 + k), "path": None} for k in range(30)]
    write_rows(Dataset.from_dict({"image": images, "label": [k % 3 for k in range(30)]}, features), tmp_path / "photos")
    write_scorer(tmp_path / "scorer", 1, CLASSES)
    return tmp_path


def test_pictures_of_another_generator_go_all_the_way(hub: HubServer, pictures: Path) -> None:
    hub.add_user("alice", TOKEN, orgs=["acme"])
    facts = "--generator SDXL-1.0 --license cc-by-4.0 --pretty-name Pets"
    done = carry_out(
        hub,
        pictures,
        "sample --pool pictures --original photos --output none",
        "score pictures --scorer scorer --output scored-pictures",
        "sample --pool scored-pictures --output none",
        "sample --pool scored-pictures --original pictures --output none",
        "score photos --scorer scorer --output scored-photos",
        f"sample --pool scored-pictures --original scored-photos --ipc 1,2,4 --seed 3 {facts} --output sets --json",
        f"publish sets --repo {REPO} --with-pool",
        f"publish sets --ipc 2 --repo {REPO} --with-pool",
        "publish sets/ipc4 --repo acme/painted-ipc4",
        f"load {REPO}@v1.0.0",
        f"sample --pool {REPO}@v1.0.0 --ipc 2 --seed 3 --output same",
        f"sample --pool {REPO}@v1.0.0 --ipc 3 --pool-size 2 --output other",
        f"publish other --repo {REPO}",
        f"versions {REPO}@v1.1.0",
        f"diff {REPO}@v1.0.0 v1.1.0",
        f"figures {REPO}@v1.0.0 --output figures",
        f"sample --pool {REPO}@v1.0.0 --ipc 2 --seed 3 --output named --generator DALL-E",
        "publish named --repo acme/painted-ipc4 --with-pool",
    )
    codes = [code for code, _, _ in done]
    assert codes == [2, 0, 2, 2, 0, 0, 2, *[0] * 11], done
    assert "pictures holds images without difficulties: score them, `ddgs-hub score pictures --scorer" in done[0][2]
    assert "scored-pictures is a pool without its scored original: give --original" in done[2][2]
    assert "pictures holds images without difficulties: score them, `ddgs-hub score pictures" in done[3][2]
    sets = json.loads(done[5][1])["sets"]
    assert [(one["ipc"], one["images"]) for one in sets] == [(1, 3), (2, 6), (4, 12)]
    assert "has not one folder to publish" in done[6][2]
    assert "give the one that is meant, or --ipc" in done[6][2]
    check_published(hub, pictures)
    # Loaded, it says that nobody knows a protocol, and takes the images' own size.
    columns, size, version = json.loads(done[9][1])
    assert (columns[0], size, version) == ("image", 12, "v1.0.0")
    assert f"{REPO} names no protocol" in done[9][2]
    # Sampled again from what was published, it gives the same rows.
    assert (pictures / "same/data" / SHARD).read_bytes() == (pictures / "sets/ipc2/data" / SHARD).read_bytes()
    assert max(read_rows(pictures / "other")["pool_index"]) < 6  # the first 2 × 3 of each class
    assert done[12][1].startswith(f"{REPO} v1.1.0: new rows from the same pool")
    assert [line.split()[0] for line in done[13][1].splitlines()] == ["version", "v1.1.0"]
    assert "sampled.sample.ipc: 2 → 3" in done[14][1]
    assert {path.suffix for path in (pictures / "figures").iterdir()} == {".png", ".svg"}
    # Another name for its generator is another generator.
    assert "acme/painted-ipc4 v2.0.0: another DiT" in done[17][1]


def check_published(hub: HubServer, pictures: Path) -> None:
    """One schema, the classes of the original in its order, and nothing that nobody knows."""
    rows = read_rows(pictures / "sets" / "ipc2")
    assert rows.features["label"].names == IN_ANOTHER_ORDER
    names = ["image", "label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin"]
    assert rows.column_names == names
    assert set(rows["seed"]) == {None}
    images = {(pictures / "pictures" / name / f"{k}.jpg").read_bytes(): name for name in CLASSES for k in range(8)}
    for label, cell in zip(rows["label"], rows.cast_column("image", Image(decode=False))["image"], strict=True):
        assert images[cell["bytes"]] == IN_ANOTHER_ORDER[label]
    repository = hub.repository("dataset", REPO)
    assert configs(repository, "v1.0.0") == ["default", "original", "pool"]
    card, values = repository.read("README.md", "v1.0.0").decode(), provenance(repository, "v1.0.0")
    assert "recipe" not in values
    assert values["described"] == {"generator": "SDXL-1.0", "license": "cc-by-4.0", "pretty_name": "Pets"}
    assert (values["content"]["dit"], values["scorer"]["name"]) == ("SDXL-1.0", "scorer")
    assert "# Pets, distilled to 2 images a class" in card
    assert "the images of the pool were generated by SDXL-1.0" in card
    assert "| Difficulties to follow | those of `scored-photos` |" in card
    assert "| Scorer | `scorer` |" in card
    assert "license: cc-by-4.0" in card
    for claim in ("DiffFit", "Base DiT", "seed that, with the DiT", str(pictures)):
        assert claim not in card.replace("| `seed` |", "")
