"""The same table from threads, from worker processes and from a cluster, and what is said when there is none."""

from __future__ import annotations

import importlib.metadata
import sys

import pandas as pd
import pytest
import scenes as made
from typer.testing import CliRunner

from rs_forecast import cli, spread
from rs_forecast.errors import ConfigError, DataWarning, SourceError
from rs_forecast.signals import extract_signals
from rs_forecast.sources.local import open_scenes

INDICES = ("ndvi", "lswi", "ndre")


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")  # part of the development environment: a skip would show there
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as found,
        distributed.Client(found) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("scenes")
    for number, (day, tile) in enumerate(
        [("20240105", "48PWS"), ("20240105", "48PXS"), ("20240110", "48PWS"), ("20240115", "48PWS")]
    ):
        made.write_scene(target, day, number, tile=tile, offset=-0.1 * (number % 2))
    return target


@pytest.fixture(scope="module")
def table(folder):
    return extract_signals(open_scenes(folder), made.fields(20), INDICES, threads=1)


def test_workers_are_in_the_development_environment():
    assert importlib.metadata.version("distributed")


@pytest.mark.parametrize("threads", [2, 4])
def test_any_number_of_threads_gives_the_same_table_to_the_bit(folder, table, threads):
    again = extract_signals(open_scenes(folder), made.fields(20), INDICES, threads=threads)
    pd.testing.assert_frame_equal(again, table, check_exact=True)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_within_a_scene_give_the_same_table_to_the_bit(folder, table, threads, monkeypatch):
    monkeypatch.setattr("rs_forecast.signals._LARGE", 0)
    again = extract_signals(open_scenes(folder), made.fields(20), INDICES, threads=threads)
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_a_cluster_gives_the_same_table_to_the_bit(folder, table, cluster, tmp_path):
    told = []
    for scheduler in (cluster, cluster.scheduler.address):
        again = extract_signals(
            open_scenes(folder),
            made.fields(20),
            INDICES,
            scheduler=scheduler,
            keep_coverage=tmp_path,
            progress=lambda done, of: told.append((done, of)),
        )
        pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2


def test_a_bad_scene_is_named_by_a_cluster_as_by_this_process(folder, tmp_path, table, cluster):
    for day, tile in (("20240105", "48PWS"), ("20240110", "48PWS"), ("20240112", "48PWS")):
        made.write_scene(tmp_path, day, 0, tile=tile)
    file = tmp_path / "48PWS_20240110" / "48PWS_20240110_B04.tif"
    file.write_bytes(file.read_bytes()[:-400])
    (tmp_path / "48PWS_20240112" / "48PWS_20240112_B11.tif").unlink()
    found = []
    for scheduler in (None, cluster):
        with pytest.warns(DataWarning) as said:
            rows = extract_signals(open_scenes(tmp_path), made.fields(9), INDICES, scheduler=scheduler)
        found.append((rows, sorted(str(w.message) for w in said)))
    (one, here), (two, there) = found
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert here == there
    assert "20240110: left out" in here[0] + here[1]
    assert "20240112: left out" in here[0] + here[1]


def double(shared, item):
    return shared * item


def fail(shared, item):
    raise OSError(f"{shared}{item}")


def test_results_come_in_the_order_of_the_items(cluster):
    assert list(spread.on_cluster(cluster, double, 3, range(40))) == [3 * k for k in range(40)]
    assert list(spread.on_cluster(cluster, double, 3, [])) == []


def test_a_task_that_is_lost_is_said(cluster):
    with pytest.raises(SourceError, match=r"the cluster lost a task \(ab"):
        list(spread.on_cluster(cluster, fail, "a", ["b"]))


def test_no_scheduler_is_said_with_the_mend(monkeypatch):
    monkeypatch.setattr(spread, "_ANSWER", 1)
    with pytest.raises(ConfigError, match=r"no scheduler answers at 'tcp://127.0.0.1:9'.*dask scheduler"):
        list(spread.on_cluster("tcp://127.0.0.1:9", double, 1, [1]))


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "9.9")
    with pytest.raises(ConfigError, match=r"this is rs-forecast 9\.9, and .* has 0\..*the same version"):
        list(spread.on_cluster(cluster, double, 1, [1]))


def test_a_cluster_without_workers_is_said(cluster, monkeypatch):
    monkeypatch.setattr(cluster, "scheduler_info", lambda **_: {"workers": {}})
    with pytest.raises(ConfigError, match=r"scheduler at tcp://127.* has no worker; start some"):
        list(spread.on_cluster(cluster, double, 1, [1]))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"install rs-forecast\[dask\]"):
        list(spread.on_cluster("tcp://127.0.0.1:9", double, 1, [1]))


def test_the_command_line_hands_the_scheduler_on_and_refuses_nonsense(tmp_path, monkeypatch):
    config = tmp_path / "c.toml"
    config.write_text(
        '[parcels]\npath = "p.gpkg"\n[surveys]\npath = "s.csv"\n[forecast]\npests = ["brown_planthopper"]\n'
        '[compute]\nscheduler = "tcp://one:1"\n'
    )
    assert cli._load(config, None).compute.scheduler == "tcp://one:1"
    assert cli._load(config, "tls://two:2").compute.scheduler == "tls://two:2"
    with pytest.raises(ConfigError, match=r"--scheduler: found 'nowhere', allowed is an address"):
        cli._load(config, "nowhere")
    seen = []

    def run(config, **_):
        seen.append(config)
        raise ConfigError("far enough")

    monkeypatch.setattr("rs_forecast.pipeline.run", run)
    CliRunner().invoke(cli.app, ["run", str(config), "--scheduler", "tcp://three:3"])
    assert seen[0].compute.scheduler == "tcp://three:3"
