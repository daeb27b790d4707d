"""One proxy and one bundle of certificates for every client: services by TLS, to which only the proxy leads.

Both services stand on this machine under names that nothing resolves, so a client that does not ask the proxy fails,
and one that does not trust the authority made here fails too.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import traceback
import types
from dataclasses import replace
from functools import partial

import pytest
import rasterio
import rasterio.errors
import requests
import stac_server
from hub_server import serving as hub_serving
from test_sentinelhub import PARCELS, holds
from test_sentinelhub import planned as plan_hub
from test_stac import BANDS, NEAR, QUICK, assert_true
from tls import make_authority, proxying

from rs_forecast.cli import main
from rs_forecast.errors import BusyError, ConfigError, SourceError
from rs_forecast.sources import _network, _stac_http, sentinelhub, stac
from rs_forecast.sources._hub_service import redacted
from rs_forecast.sources._hub_settings import client_config
from rs_forecast.sources._stac_http import check_address
from rs_forecast.sources.archive import SceneArchive

USER, PASSWORD = "user-of-the-office", "pa55@of/the:office"
LOGIN = "user-of-the-office:pa55%40of%2Fthe%3Aoffice"
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, LOGIN.partition(":")[2], PAIR, USER)
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
PROXIES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("tls") / "office", "hub.test", "stac.test")


@pytest.fixture
def clean(monkeypatch):
    """An environment that says nothing of networks, and a resolver that knows this machine alone."""
    for name in [*BUNDLES, *PROXIES, *map(str.upper, PROXIES)]:
        monkeypatch.delenv(name, raising=False)
    looked_up = []
    real = socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        looked_up.append(host)
        if isinstance(host, str) and host.endswith(".test"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    _stac_http._resolved_once.cache_clear()
    return looked_up


@pytest.fixture
def office(clean, authority, monkeypatch, tmp_path):
    """Both services behind the proxy, which wants a login; the environment is as it should be."""
    with proxying() as proxy, hub_serving(authority.context()) as hub, stac_server.serving(authority.context()) as api:
        proxy.hosts = {"hub.test:443": hub.port, "stac.test:443": api.port}
        proxy.login = f"{USER}:{PASSWORD}"
        hub.url, api.url = "https://hub.test", "https://stac.test"
        hub.add("20240115")
        stac_server.publish(api)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(LOGIN))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
        monkeypatch.setenv("SH_CLIENT_ID", hub.user)
        monkeypatch.setenv("SH_CLIENT_SECRET", hub.secret)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        catalogue = stac.Catalogue(url="https://stac.test/stac", patience=QUICK)
        yield types.SimpleNamespace(proxy=proxy, hub=hub, api=api, catalogue=catalogue)


def search_hub(office, **settings):
    return plan_hub(office.hub, **settings)


def search_stac(office, **_):
    (order,) = stac.plan(NEAR, "2024-01-01", "2024-01-31", BANDS, office.catalogue)
    return order


SEARCHES = {"sentinelhub": search_hub, "stac": search_stac}


@pytest.fixture(params=SEARCHES)
def search(request, office):
    """Search one of the services."""
    return lambda **settings: SEARCHES[request.param](office, **settings)


# ------------------------------------------------------------------------------------------------------ the one way out
@pytest.mark.parametrize("variable", BUNDLES)
def test_every_client_obeys_the_proxy_and_whichever_bundle_is_named(office, monkeypatch, authority, variable):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv(variable, str(authority.bundle))
    search_hub(office)
    search_stac(office)
    assert office.hub.count("token") == office.hub.count("search") == 1
    assert set(office.proxy.asked) == {"hub.test:443", "stac.test:443"}
    assert set(office.proxy.heard) == {f"Basic {PAIR}"}


def test_of_several_bundles_the_first_counts(office, monkeypatch, authority, tmp_path):
    other = make_authority(tmp_path / "other", "hub.test")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other.bundle))
    search_stac(office)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.bundle))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.bundle))
    with pytest.raises(SourceError, match="is not trusted"):
        search_stac(office)


@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_proxy_may_be_named_in_other_ways(office, monkeypatch, variable):
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv(variable, office.proxy.url(LOGIN).removeprefix("http://"))
    search_hub(office)
    search_stac(office)


def test_all_of_a_scene_comes_through_the_proxy_and_gdal_is_given_files_alone(office, tmp_path, monkeypatch):
    opened = []
    real = rasterio.open

    def spy(place, *args, **kwargs):
        opened.append(str(place))
        return real(place, *args, **kwargs)

    monkeypatch.setattr(rasterio, "open", spy)
    folders = [tmp_path / name for name in SEARCHES]
    for folder in folders:
        folder.mkdir()
    order = search_hub(office)
    sentinelhub.download(order, folders[0], hub=office.hub.hub())
    holds(folders[0], order)
    stac.download(search_stac(office), folders[1], office.catalogue)
    assert_true(folders[1])
    assert opened
    assert not [place for place in opened if "://" in place or place.startswith("/vsi")]
    heard = [*office.hub.heard, *office.api.heard]
    assert not any("GDAL" in said for said in heard)
    assert {said.partition("/")[0] for said in heard} == {"sentinelhub-py", "python-requests"}
    with stac_server.serving() as other:  # GDAL would have named itself
        with pytest.raises(rasterio.errors.RasterioError):
            real(f"/vsicurl/{other.url}/x.tif")
        assert any("GDAL" in said for said in other.heard)


def test_what_no_proxy_names_is_asked_directly(clean, monkeypatch):
    with proxying() as proxy, stac_server.serving() as api:
        stac_server.publish(api)
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        catalogue = stac.Catalogue(url=f"{api.url}/stac", patience=QUICK, allow_hosts=("127.0.0.1",))
        office = types.SimpleNamespace(catalogue=catalogue)
        with pytest.raises(SourceError, match="wants a user and a password"):
            search_stac(office)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        search_stac(office)
        assert len(proxy.asked) == 1


def test_no_password_of_a_netrc_goes_anywhere(clean, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login me password hushhush\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with stac_server.serving() as api:
        assert requests.get(f"{api.url}/stac", timeout=5).request.headers["Authorization"]  # else this shows nothing
        api.heard.clear()
        stac_server.publish(api)
        search_stac(
            types.SimpleNamespace(
                catalogue=stac.Catalogue(url=f"{api.url}/stac", patience=QUICK, allow_hosts=("127.0.0.1",))
            )
        )
        assert api.heard
        assert not any("Basic" in said for said in api.heard)


# -------------------------------------------------------------------------------------------------- private addresses
def test_behind_a_proxy_private_addresses_are_refused_and_names_are_its_business(office, clean):
    for url in ("https://10.1.2.3/x", "https://[fd00::1]/x", "https://2130706433/x", "https://localhost/x"):
        with pytest.raises(SourceError, match="private address"):
            check_address(url)
    for _ in range(3):
        check_address("https://stac.test/x")
    assert clean.count("stac.test") == 1
    item = office.api.items[0]
    item["assets"]["red"]["href"] = "https://10.1.2.3/B04.tif"
    with pytest.warns(match="private address 10.1.2.3"):
        assert stac.plan(NEAR, "2024-01-01", "2024-01-31", BANDS, office.catalogue) == []


def test_without_a_proxy_a_name_is_looked_up_each_time(clean):
    for _ in range(3):
        check_address("https://stac.test/x")
    assert clean.count("stac.test") == 3


# ------------------------------------------------------------------------------------------------------ what goes wrong
def told(call, error, *words):
    """Return the traceback of the error that ``call`` ends in; no secret is in it."""
    with pytest.raises(error) as caught:
        call()
    text = "".join(traceback.format_exception(caught.value))
    for word in words:
        assert word in str(caught.value)
    assert not [secret for secret in SECRETS if secret in text]
    return text


def test_a_certificate_that_is_not_trusted_ends_it_at_once(office, search, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    shown = f"through the proxy http://127.0.0.1:{office.proxy.port},"
    told(search, SourceError, ".test, asked", shown, "certifi", "in REQUESTS_CA_BUNDLE")
    assert len(office.proxy.asked) == 1


def test_a_certificate_for_another_host_is_refused(office):
    office.proxy.hosts["other.test:443"] = office.api.port
    office.catalogue = replace(office.catalogue, url="https://other.test/stac")
    told(lambda: search_stac(office), SourceError, "other.test", "mismatch")


@pytest.mark.parametrize(
    ("login", "says"), [("", "wants a user and a password"), (f"{USER}:wr0ng", "refuses its user")]
)
def test_a_login_that_the_proxy_refuses_ends_it_at_once(office, search, monkeypatch, login, says):
    monkeypatch.setenv("HTTPS_PROXY", office.proxy.url(login))
    text = told(search, SourceError, says, f"http://127.0.0.1:{office.proxy.port}", "407", "HTTPS_PROXY", "%XX")
    assert "wr0ng" not in text
    assert len(office.proxy.asked) == 1


def test_a_host_that_the_proxy_forbids_is_named(office, search):
    office.proxy.hosts.clear()
    told(search, SourceError, "does not let through to", ".test (403)", "NO_PROXY")
    assert len(office.proxy.asked) == 1


@pytest.mark.parametrize("status", [0, 503])
def test_a_proxy_that_is_down_or_does_not_get_through_is_for_later(office, search, monkeypatch, status):
    office.proxy.answer = status
    if not status:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{LOGIN}@127.0.0.1:1")
    says = "does not reach" if status else "the proxy http://127.0.0.1:1 cannot be reached (Connection refused)"
    told(lambda: search(attempts=2), BusyError, says)
    assert len(office.proxy.asked) in {0, 2, QUICK.tries}
    assert bool(status) == bool(office.proxy.asked)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        (f"http://{LOGIN}@:3128", "HTTPS_PROXY is no address of a proxy"),
        (f"http://{LOGIN}@proxy.test:port", "special characters of the password as %XX"),
        (f"http://{USER}:123/{PASSWORD}@proxy.test", "is no address"),
        (f"ftp://{LOGIN}@proxy.test", "allowed is http://HOST:PORT"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_bad_usage(office, search, monkeypatch, proxy, says):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    told(search, ConfigError, says)


def test_a_socks_proxy_names_what_it_needs(office, search, monkeypatch):
    monkeypatch.setattr(_network, "find_spec", lambda _: None)
    monkeypatch.setenv("HTTPS_PROXY", f"socks5h://{LOGIN}@127.0.0.1:1080")
    told(search, ConfigError, "PySocks")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none_is_bad_usage(office, search, monkeypatch, tmp_path, content):
    file = tmp_path / "bundle.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    told(search, ConfigError, "REQUESTS_CA_BUNDLE is", "cannot be read as certificates")


@pytest.mark.parametrize(
    ("environment", "code", "says"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, 75, "cannot be reached (Connection refused)"),
        ({"REQUESTS_CA_BUNDLE": ""}, 4, "is not trusted"),
        ({"SSL_CERT_FILE": "nowhere.pem", "REQUESTS_CA_BUNDLE": ""}, 2, "SSL_CERT_FILE"),
    ],
)
def test_the_command_ends_with_a_code_for_each(office, monkeypatch, tmp_path, capsys, environment, code, says):
    monkeypatch.setattr(stac, "find_catalogue", lambda *_: office.catalogue)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    PARCELS.to_file(tmp_path / "parcels.gpkg")
    (tmp_path / "surveys.csv").write_text("parcel_id,date,pest,value,unit\n")
    (tmp_path / "office.toml").write_text(
        '[parcels]\npath = "parcels.gpkg"\n[surveys]\npath = "surveys.csv"\n[forecast]\n'
        'pests = ["brown_planthopper"]\n[imagery]\nsource = "stac"\n'
    )
    with pytest.raises(SystemExit) as ended:
        main(["fetch", str(tmp_path / "office.toml"), "--start", "2024-01-01", "--end", "2024-01-31"])
    assert ended.value.code == code
    assert says in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------ secrets
def test_the_proxy_s_password_stands_nowhere(office, tmp_path, monkeypatch, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="numba")  # its compiler has much to say
    for name in ("oauthlib", "pystac_client", "requests_oauthlib", "requests", "sentinelhub", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    texts = []
    orders = [search_hub(office), search_stac(office)]
    downloads = [
        partial(sentinelhub.download, hub=office.hub.hub()),
        partial(stac.download, catalogue=office.catalogue),
    ]
    for name, order, download in zip(SEARCHES, orders, downloads, strict=True):
        done = SceneArchive(tmp_path / name).obtain([order], download)
        assert done.new
        texts += [repr(order), json.dumps(order.detail, default=str), repr(done)]
    for change in ("answer", "login"):  # a proxy that fails, then one that refuses, each quoted by who was behind it
        setattr(office.proxy, change, {"answer": 502, "login": "other:login"}[change])
        for call in (lambda: search_hub(office, attempts=2), lambda: search_stac(office)):
            with pytest.raises((SourceError, BusyError)) as caught:
                call()
            texts.append("".join(traceback.format_exception(caught.value)))
        office.proxy.answer = 0
    texts.append(redacted(f"you sent {LOGIN} {PASSWORD} {PAIR}", client_config(office.hub.hub())))
    assert "***" in texts[-1]
    assert "hub.test" in caplog.text
    texts += [caplog.text, *capfd.readouterr()]
    texts += [file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()]
    for secret in (*SECRETS[:3], office.hub.secret, *office.hub.tokens):
        assert not [text for text in texts if secret in text]
    assert USER not in caplog.text
