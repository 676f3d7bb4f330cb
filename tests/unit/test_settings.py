"""Settings: all faults are reported together, and the table in the README is generated from the code."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import bootstrap
from app.errors import ConfigurationError
from app.settings import Settings, settings_table, variable

NAMES = [each.name for each in fields(Settings)]
README = Path(__file__).parents[2] / "README.md"


def faults(**environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment(environment)
    return str(caught.value).splitlines()


def test_without_variables_every_setting_has_its_default() -> None:
    settings = Settings.from_environment({"PATH": "/bin"})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8080, "embedded")
    assert settings.enable_data_partitions is True
    assert settings.data_dir == Path("data")


def test_values_are_read_by_their_rule() -> None:
    settings = Settings.from_environment(
        {
            "BULKHEAD_PORT": "0",
            "BULKHEAD_DATA_DIR": "/srv/archive",
            "BULKHEAD_ENABLE_DATA_PARTITIONS": "off",
            "BULKHEAD_CORS_ORIGINS": "https://viewer.test, https://other.test,",
            "BULKHEAD_PUBLIC_URL": "https://dicom.test:8443/archive/",
        }
    )
    assert settings.port == 0
    assert settings.data_dir == Path("/srv/archive")
    assert settings.enable_data_partitions is False
    assert settings.cors_origins == ("https://viewer.test", "https://other.test")
    assert settings.public_url == "https://dicom.test:8443/archive"


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"BULKHEAD_PORT": "", "BULKHEAD_SPOOL_DIR": " "}) == Settings()


def test_all_faults_are_named_at_once() -> None:
    found = faults(
        BULKHEAD_PORT="70000",
        BULKHEAD_ENGINE="floppy",
        BULKHEAD_THREADS="many",
        BULKHEAD_WROKERS="3",
        BULKHEAD_CORS_CREDENTIALS="true",
        BULKHEAD_CORS_ORIGINS="*",
    )
    assert found == [
        "BULKHEAD_WROKERS: There is no such setting. Did you mean BULKHEAD_WORKERS?",
        "BULKHEAD_PORT='70000': Must be greater than or equal to 0 and less than or equal to 65535.",
        "BULKHEAD_THREADS='many': Not a valid integer.",
        "BULKHEAD_ENGINE='floppy': Must be one of: embedded, aws.",
        "BULKHEAD_CORS_CREDENTIALS with BULKHEAD_CORS_ORIGINS=*: Credentials need named origins.",
    ]


def test_the_aws_engine_needs_its_table_and_bucket() -> None:
    assert faults(BULKHEAD_ENGINE="aws") == [
        "BULKHEAD_TABLE: The aws engine needs it.",
        "BULKHEAD_BUCKET: The aws engine needs it.",
    ]
    named = {"BULKHEAD_ENGINE": "aws", "BULKHEAD_TABLE": "archive", "BULKHEAD_BUCKET": "archive"}
    assert Settings.from_environment(named).table == "archive"


@pytest.mark.parametrize(
    "url", ["dicom.test", "ftp://dicom.test", "http://", "http://[", "https://a/?b=c", "http://a/#b"]
)
def test_a_public_url_is_absolute_and_has_no_query(url: str) -> None:
    assert faults(BULKHEAD_PUBLIC_URL=url)[0].startswith(f"BULKHEAD_PUBLIC_URL={url!r}: ")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("CORS_ORIGINS", "https://*.hospital.example"),
        ("CORS_ORIGINS", "https://viewer.example/"),
        ("CORS_ORIGINS", "viewer.example"),
        ("CORS_ORIGINS", "null"),
        ("CORS_HEADERS", "X-.*"),
        ("CORS_METHODS", "GET POST"),
    ],
)
def test_origins_headers_and_methods_are_names_and_not_patterns(setting: str, text: str) -> None:
    (fault,) = faults(**{f"BULKHEAD_{setting}": f"*,{text}" if "ORIGIN" in setting else text})
    assert fault.startswith(f"BULKHEAD_{setting}=")
    assert f"{text!r} is not" in fault


def test_origins_may_have_ports_and_be_addresses() -> None:
    origins = "http://localhost:3000,https://[::1]:8443,https://10.0.0.7,https://a-b.example"
    assert Settings.from_environment({"BULKHEAD_CORS_ORIGINS": origins}).cors_origins == tuple(origins.split(","))


@given(st.dictionaries(st.sampled_from([variable(name) for name in NAMES]), st.text(max_size=20)))
def test_any_text_is_read_or_refused(environment: dict[str, str]) -> None:
    try:
        Settings.from_environment(environment)
    except ConfigurationError as error:
        assert str(error).startswith("BULKHEAD_")


def test_exports_go_into_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.export_folder == tmp_path / "exports"
    assert bootstrap.build_engine(settings).openers.keys() == {"s3", "file"}
    assert Settings(export_dir=Path("elsewhere")).export_folder == Path("elsewhere")
    assert Settings(engine="aws").export_folder is None


def test_every_setting_belongs_to_one_group() -> None:
    own = [name for group in Settings.__bases__ for name in group.__annotations__]
    assert sorted(own) == sorted(NAMES)


def test_server_processes_follow_the_setting_or_the_cpus() -> None:
    assert Settings(workers=5).server_processes == 5
    assert Settings(workers=0).server_processes >= 2


def test_the_readme_has_the_table_of_settings() -> None:
    _, _, after = README.read_text(encoding="utf-8").partition("<!-- settings -->\n")
    table, marker, _ = after.partition("<!-- /settings -->")
    assert marker, "README.md has lost the markers around its table of settings"
    assert table.strip() == settings_table().strip()


def test_the_table_shows_current_values() -> None:
    table = settings_table(Settings(port=9, cors_origins=("a", "b")))
    assert "| Setting | Value | Meaning |" in table
    assert "| `BULKHEAD_PORT` | `9` |" in table
    assert "| `BULKHEAD_CORS_ORIGINS` | `a,b` |" in table
