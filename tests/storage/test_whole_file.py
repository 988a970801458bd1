"""A file that stands under its name is whole; what killed processes leave goes after a day."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.engines.whole_file import LEFT_BEHIND, appearing, clear_left_behind, give_name, passing

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)


def test_nothing_stands_there_before_it_is_whole_and_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    with appearing(file) as place:
        place.write_text("half")
        assert not file.exists()
        place.write_text("whole")
    assert file.read_text() == "whole" and file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RuntimeError), appearing(tmp_path / "other"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept"

    def without_second_names(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for _ in range(2):
        with pytest.raises(FileExistsError), appearing(file) as place:
            place.write_text("mine")
            file.write_text("another's")
        assert [path.read_text() for path in tmp_path.iterdir()] == ["another's"]
        monkeypatch.setattr(os, "link", without_second_names)
    place = tmp_path / "new"
    place.write_text("mine")
    give_name(place, tmp_path / "named")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "named"]


def test_only_what_was_left_behind_is_cleared(tmp_path: Path) -> None:
    names = {name: LEFT_BEHIND + timedelta(seconds=1) for name in ("agent.db", ".backup-mine", "old.partial")}
    ages = names | {passing(tmp_path, "young").name: LEFT_BEHIND, passing(tmp_path, "old").name: 2 * LEFT_BEHIND}
    for name, age in ages.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ((NOW - age).timestamp(),) * 2)
    clear_left_behind(tmp_path, NOW)
    assert {path.name for path in tmp_path.iterdir()} == set(ages) - {passing(tmp_path, "old").name}
