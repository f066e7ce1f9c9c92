"""Test processes side by side: one pair of servers, nothing else in common."""

from pathlib import Path

from core.embedded.places import environment
from core.embedded.pytest_plugin import of_worker


def test_two_test_processes_share_no_folder_and_no_key(tmp_path: Path) -> None:
    shared = environment(tmp_path)

    first, second = of_worker(0, shared), of_worker(1, shared)

    assert first["LINGXI_HOME"] != second["LINGXI_HOME"] != shared["LINGXI_HOME"]
    assert Path(second["LINGXI_HOME"]).is_dir()
    assert (first["REDIS_URL"], first["LINGXI_BROKER_URL"]) == (shared["REDIS_URL"], shared["LINGXI_BROKER_URL"])
    assert second["REDIS_URL"] == shared["REDIS_URL"].replace("?db=0", "?db=1")
    assert second["LINGXI_BROKER_URL"] == shared["LINGXI_BROKER_URL"].replace("virtual_host=0", "virtual_host=1")


def test_a_server_given_by_address_keeps_its_port() -> None:
    assert of_worker(3, {"REDIS_URL": "redis://cache:6379/0"}) == {"REDIS_URL": "redis://cache:6379/3"}
