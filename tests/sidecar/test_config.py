from __future__ import annotations

from pathlib import Path

import pytest

from conductor_sdk.errors import Exit
from conductor_sidecar.config import describe_settings, load_configuration
from conductor_sidecar.errors import ConfigInvalid
from conductor_sidecar.settings import Settings


def write(root: Path, text: str) -> Path:
    path = root / "conductor.toml"
    path.write_text(text)
    return path


def source_of(loaded: object, name: str) -> tuple[object, str]:
    return next((s.value, s.source) for s in loaded.listing() if s.name == name)  # type: ignore[attr-defined]


def test_without_any_source_every_setting_has_its_default(tmp_path: Path) -> None:
    loaded = load_configuration(tmp_path, environ={})

    assert Settings() == loaded.settings
    assert {"default"} == {setting.source for setting in loaded.listing()}


def test_the_file_beats_the_default_the_environment_the_file_and_a_flag_all(tmp_path: Path) -> None:
    path = write(tmp_path, "[dispatch]\ndeadline_s = 1\nconcurrency = 2\nmax_attempts = 3\n")
    environ = {"CONDUCTOR_DISPATCH__CONCURRENCY": "20", "CONDUCTOR_DISPATCH__MAX_ATTEMPTS": "30"}
    loaded = load_configuration(tmp_path, environ=environ, flags={"dispatch.max_attempts": 300})

    assert (1.0, str(path)) == source_of(loaded, "dispatch.deadline_s")
    expected = (20, "environment CONDUCTOR_DISPATCH__CONCURRENCY")
    assert expected == source_of(loaded, "dispatch.concurrency")
    assert (300, "command line") == source_of(loaded, "dispatch.max_attempts")


def test_a_packs_own_section_is_passed_through(tmp_path: Path) -> None:
    write(tmp_path, "[pack.acme_demo]\nevery_s = 2\n")

    assert {"acme_demo": {"every_s": 2}} == load_configuration(tmp_path, environ={}).settings.pack


def test_caps_of_a_single_kind_can_be_set_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, '[outbox.kinds."acme-demo:job_queued"]\nmax_events = 5\noverflow = "block"\n')
    caps = load_configuration(tmp_path, environ={}).settings.outbox.kinds["acme-demo:job_queued"]

    assert (5, "block") == (caps.max_events, caps.overflow)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[dispatch]\ndeadline_s = -1\n", "dispatch.deadline_s"),
        ("[dispatch]\ndead_line_s = 1\n", "dispatch.dead_line_s"),
        ("[nonsense]\n", "nonsense"),
        ('link = "websocket"\n', "link"),
        ("[dispatch\n", "conductor.toml"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_its_source(
    tmp_path: Path, text: str, says: str
) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ConfigInvalid) as caught:
        load_configuration(tmp_path, environ={})
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert Exit.BAD_CONFIG == caught.value.exit_code


def test_a_file_that_is_named_but_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        load_configuration(tmp_path, file=tmp_path / "none.toml", environ={})


def test_variables_of_other_programs_and_our_own_directories_are_no_settings(
    tmp_path: Path,
) -> None:
    environ = {"CONDUCTOR_WORKSPACE": "/x", "PATH": "/bin", "CONDUCTORX__Y": "1"}

    assert Settings() == load_configuration(tmp_path, environ=environ).settings


def test_every_setting_is_described() -> None:
    assert [] == [item.name for item in describe_settings() if not item.meaning]
