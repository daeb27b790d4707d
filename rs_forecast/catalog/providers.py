"""Who provides what: the function that opens the source, and how many days behind the day itself it is."""

from __future__ import annotations

from dataclasses import dataclass

from rs_forecast.catalog._table import Table


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One imagery or weather source. ``opener`` is ``module:function``, imported when it is used."""

    name: str
    kind: str
    opener: str
    latency_days: int
    doc: str
    fetcher: str = ""
    """Module with ``plan`` and ``download`` that brings scenes into the store which the opener reads."""


PROVIDERS: Table[Provider] = Table(
    "source",
    (
        Provider(
            name="local",
            kind="imagery",
            opener="rs_forecast.sources.local:open_scenes",
            latency_days=1,
            doc="a folder of Sentinel-2 products, of scenes with a GeoTIFF a band, or of NetCDF cubes",
        ),
        Provider(
            name="stac",
            kind="imagery",
            opener="rs_forecast.sources.archive:open_archive",
            latency_days=1,
            doc="Sentinel-2 from a STAC catalogue, no credentials needed",
            fetcher="rs_forecast.sources.stac",
        ),
        Provider(
            name="sentinelhub",
            kind="imagery",
            opener="rs_forecast.sources.archive:open_archive",
            latency_days=1,
            doc="Sentinel-2 from Copernicus Data Space or Sentinel Hub",
            fetcher="rs_forecast.sources.sentinelhub",
        ),
        Provider(
            name="csv",
            kind="weather",
            opener="rs_forecast.sources.weather:read_weather_csv",
            latency_days=1,
            doc="a table of daily values per station or parcel",
        ),
        Provider(
            name="netcdf",
            kind="weather",
            opener="rs_forecast.sources.weather:read_weather_netcdf",
            latency_days=7,
            doc="grids of days (AgERA5) or hours (ERA5, ERA5-Land), NetCDF or Zarr",
        ),
        Provider(
            name="power",
            kind="weather",
            opener="rs_forecast.sources.weather_services:get_power",
            latency_days=7,
            doc="NASA POWER, cells of 0.5 degrees since 1981, days of UTC; radiation a week behind, the rest some days",
        ),
        Provider(
            name="open-meteo",
            kind="weather",
            opener="rs_forecast.sources.weather_services:get_open_meteo",
            latency_days=1,
            doc="Open-Meteo, cells of 0.1 degrees since 1940, and forecasts of 15 days; free for non-commercial use",
        ),
    ),
)
