"""What every artifact store must do: its tests derive a class and have the fixtures ``store`` and ``harm``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import StorageError
from orchestration.storage import DamagedArtifact, MissingArtifact
from orchestration.storage.store import FullStore

KEY = "trials/0001/checkpoints/epoch-0001"
# Changes a file of an artifact where it is kept; None: removes it.
Harm = Callable[[str, str, Callable[[bytes], bytes | None]], None]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(b"w" * 1000)
    (folder / "deep" / "state.json").write_text("{}")
    (folder / "empty").touch()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class StorageSuite:
    """Every artifact store behaves alike."""

    def test_a_folder_comes_back_as_it_was(self, store: FullStore, checkpoint: Path, tmp_path: Path) -> None:
        store.put(KEY, checkpoint)
        store.get(KEY, tmp_path / "new" / "back")
        assert files(tmp_path / "new" / "back") == files(checkpoint)

    def test_some_of_its_files_can_be_fetched_alone(
        self, store: FullStore, checkpoint: Path, tmp_path: Path
    ) -> None:
        store.put(KEY, checkpoint)
        store.get(KEY, tmp_path / "back", only=("deep/state.json",))
        assert files(tmp_path / "back") == {"deep/state.json": b"{}"}
        with pytest.raises(MissingArtifact, match=f"{KEY}/other"):
            store.get(KEY, tmp_path / "other", only=("other",))

    def test_putting_again_replaces_all_of_it(self, store: FullStore, checkpoint: Path, tmp_path: Path) -> None:
        store.put(KEY, checkpoint)
        (checkpoint / "weights").unlink()
        (checkpoint / "deep" / "state.json").write_text("[]")
        store.put(KEY, checkpoint)
        store.get(KEY, tmp_path / "back")
        assert files(tmp_path / "back") == {"deep/state.json": b"[]", "empty": b""}
        assert len(store.stored("trials")) == 1

    def test_the_source_may_change_afterwards(self, store: FullStore, checkpoint: Path, tmp_path: Path) -> None:
        store.put(KEY, checkpoint)
        (checkpoint / "weights").write_bytes(b"other")
        store.get(KEY, tmp_path / "back")
        assert (tmp_path / "back" / "weights").read_bytes() == b"w" * 1000

    def test_listing_names_all_artifacts_below_in_order(self, store: FullStore, checkpoint: Path) -> None:
        for key in ("t/0002/x", "t/0010/x", "t/0001/deep/x", "u/y", "tt/z"):
            store.put(key, checkpoint)
        assert store.list("t") == ["t/0001/deep/x", "t/0002/x", "t/0010/x"]
        assert store.list("t/0002/x") == []
        assert store.list("nowhere") == []

    def test_what_is_deleted_is_gone_and_deleting_twice_is_fine(
        self, store: FullStore, checkpoint: Path
    ) -> None:
        store.put("a/b", checkpoint)
        store.put("a/c", checkpoint)
        for key in ("a/b", "a/b", "a/c", "a/never"):
            store.delete(key)
        assert store.list("a") == []
        assert list(store.stored("a")) == []

    def test_what_is_moved_is_only_at_its_new_place(
        self, store: FullStore, checkpoint: Path, tmp_path: Path
    ) -> None:
        store.put(KEY, checkpoint)
        store.put("aside/epoch-0001", checkpoint / "deep")
        store.move(KEY, "aside/epoch-0001")
        store.move("never", "aside/never")
        assert (store.list("trials"), store.list("aside")) == ([], ["aside/epoch-0001"])
        store.get("aside/epoch-0001", tmp_path / "back")
        assert files(tmp_path / "back") == files(checkpoint)

    def test_what_is_not_there_is_an_error_that_names_it(self, store: FullStore, tmp_path: Path) -> None:
        with pytest.raises(MissingArtifact, match=KEY):
            store.get(KEY, tmp_path / "back")

    @pytest.mark.parametrize("key", ["../up", "/root", "a/../../b", ".hidden", "a/.b", ""])
    def test_a_key_cannot_leave_the_store(self, store: FullStore, checkpoint: Path, key: str) -> None:
        with pytest.raises(StorageError, match="no key"):
            store.put(key, checkpoint)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda content: content[:-1], "weights has 999 bytes instead of 1000"),
            (lambda content: b"W" + content[1:], "weights is not what was put there"),
            (lambda content: None, "weights is gone"),
        ],
        ids=["truncated", "flipped byte", "removed"],
    )
    def test_a_damaged_file_is_noticed_and_nothing_is_handed_out(
        self,
        store: FullStore,
        harm: Harm,
        checkpoint: Path,
        tmp_path: Path,
        change: Callable[[bytes], bytes | None],
        words: str,
    ) -> None:
        store.put(KEY, checkpoint)
        harm(KEY, "weights", change)
        with pytest.raises(DamagedArtifact, match=f"{KEY}.*{words}"):
            store.get(KEY, tmp_path / "back")
        assert [path.name for path in tmp_path.iterdir() if path.name.strip(".").startswith("back")] == []
        store.put("trials/0001/again", checkpoint)
        store.get("trials/0001/again", tmp_path / "back")

    def test_a_damaged_artifact_can_be_moved_aside_and_replaced(
        self, store: FullStore, harm: Harm, checkpoint: Path, tmp_path: Path
    ) -> None:
        store.put(KEY, checkpoint)
        harm(KEY, "weights", lambda content: content[:5])
        store.move(KEY, "aside/x")
        assert store.list("trials") == []
        with pytest.raises(DamagedArtifact):
            store.get("aside/x", tmp_path / "back")
        store.put(KEY, checkpoint)
        store.get(KEY, tmp_path / "back")

    def test_what_has_no_manifest_is_not_there(
        self, store: FullStore, harm: Harm, checkpoint: Path, tmp_path: Path
    ) -> None:
        store.put(KEY, checkpoint)
        harm(KEY, "manifest.json", lambda _: None)
        assert store.list("trials") == []
        with pytest.raises(MissingArtifact):
            store.get(KEY, tmp_path / "back")

    def test_what_takes_up_space_is_known_and_can_be_removed(self, store: FullStore, checkpoint: Path) -> None:
        store.put(KEY, checkpoint)
        store.put("trials/0002/x", checkpoint)
        found = {stored.key: stored for stored in store.stored("trials")}
        assert sorted(found) == [KEY, "trials/0002/x"]
        assert found[KEY].num_bytes >= 1002
        found[KEY].remove()
        assert store.list("trials") == ["trials/0002/x"]
