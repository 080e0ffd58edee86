from pathlib import Path

from ddgs_hub.core.fingerprint import fingerprint_folder


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return fingerprint_folder(folder)


def test_a_folder_is_its_files_wherever_it_is(tmp_path: Path) -> None:
    first = write(tmp_path / "a", one="1", data__two="23")
    assert first == write(tmp_path / "b", data__two="23", one="1")
    write(tmp_path / "b" / ".cache", lock="")
    assert first == fingerprint_folder(tmp_path / "b")
    others = [
        write(tmp_path / "c", one="1", data__two="24"),
        write(tmp_path / "d", one="1", data__three="23"),
        write(tmp_path / "e", one="12", data__two="3"),
        write(tmp_path / "f", one="1", data__two="23", empty=""),
    ]
    assert len({first, *others}) == 5
