"""``rs-forecast init``: a config with every table explained, and the folders it names."""

from __future__ import annotations

import re
from pathlib import Path

from rs_forecast.errors import ConfigError
from rs_forecast.sources._vietnamese import without_marks
from rs_forecast.workspace import make_folder, write_atomic

CONFIG_FILE = "rs_forecast.toml"
FOLDERS = ("data", "data/scenes", "models", "outputs")

CONFIG = """\
# What rs-forecast reads, and what it writes. Paths are relative to this file. A line that begins with "# " and holds a
# setting is one you can switch on by taking the "# " away; an unknown setting is an error that names its line.
#
# Next: put your files where the paths below point, or change the paths; then
#   rs-forecast doctor {file}        says what is there, what is missing, and how to mend it
#   rs-forecast train {file}         learns from the surveys, held against simple baselines
#   rs-forecast run {file}           every Monday: forecasts, and publishes the week's maps

[region]
name = "{name}"
timezone = "Asia/Ho_Chi_Minh"        # decides which day "today" is
# communes = "data/communes.csv"     # code, name, valid_from, valid_to, successor_code, parent: one row a commune and
                                     # period; old codes of parcels and surveys are read as those of today
# control_tolerance_m = 1.0          # how far a control point may lie from its place [m]
# [[region.control_points]]          # places known in your system and in WGS 84, which doctor compares
# name = "DC-01"
# crs = "EPSG:9208"
# x = 574810.08
# y = 1148627.34
# lon = 105.43500
# lat = 10.38600

[workspace]
dir = "."                            # holds data/ (scenes, signals) and models/

[parcels]                            # polygons: fields, sub-zones or communes
path = "data/parcels.gpkg"           # GeoPackage, GeoJSON, Shapefile (zipped too), FlatGeobuf, GeoParquet
id = "parcel_id"                     # your column of unique ids; leave it out and ids are made from the outlines
# columns = {{ sub_zone = "TIEUVUNG", commune_code = "MAXA", crop = "CAYTRONG" }}   # ours = yours
# crs = "EPSG:9208"                  # for a file that declares none, or VN-2000 wrongly (a shift of zero)
# encoding = "tcvn3"                 # of the texts, if not Unicode: "tcvn3" (ABC fonts, .VnTime), "windows-1258"
# layer = "thua"                     # for a file with several

[crops]                              # optional: parcel_id, sown, and season, crop, variety, harvested, known_at
# path = "data/crops.csv"            # CSV or Excel; one row a crop
# date_order = "dmy"                 # if days are written 02/03/2026 and mean the 2nd of March; "mdy" is the other
# encoding = "tcvn3"
# columns = {{ sown = "NGAYSA" }}

[imagery]                            # Sentinel-2
source = "none"                      # "local", "stac", "sentinelhub" (the last two are filled by rs-forecast fetch)
indices = ["ndvi", "evi", "ndre", "lswi"]   # rs-forecast indices lists all
# path = "data/scenes"               # local: Sentinel-2 products (SAFE, zip), <date>_<tile>_<band>.tif, NetCDF cubes
# scale = 0.0001                     # local: for files of whole numbers that do not say; reflectance = raw * scale
# offset = -0.1                      #        + offset
# url = "earth-search"               # stac: or "planetary-computer", "cdse", an address with its collection
# base_url = "https://sh.dataspace.copernicus.eu"   # sentinelhub: the deployment, and where it gives tokens;
# token_url = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
                                     # credentials come from SH_CLIENT_ID and SH_CLIENT_SECRET, never from here
# collection = "sentinel-2-l2a"      # stac, sentinelhub
# allow_hosts = ["127.0.0.1"]        # hosts that may have a private address
# workers = 4                        # downloads at once
# budget_gb = 200                    # downloaded scenes that can be fetched again give way above this
# latency_days = 1                   # days after the overpass on which you could have had a scene
# mask_dilate_m = 20                 # clouds are masked this far beyond what the scene classification names [m]
# mask_classes = [0, 1, 3, 8, 9, 10, 11]   # classes of it that count as not clear

[weather]                            # date, and parcel_id or station with lon and lat, then temp_mean, rain_sum, ...
source = "none"                      # "csv", "netcdf" (AgERA5, ERA5-Land, ERA5), "power" or "open-meteo" (downloaded)
# path = "data/weather.csv"
# latency_days = 1                   # days after which you have a day's weather, for rows without known_at
# date_order = "dmy"
# decimal = ","                      # if 26,5 means twenty-six and a half
# thousands = "."                    # if 1.054 means one thousand and fifty-four
# encoding = "tcvn3"
# columns = {{ rain_sum = "MUA" }}
# units = {{ temp_mean = "K" }}        # of columns in another unit than the guide's
# interpolate = "idw"                # several stations by distance, and not the nearest alone
# timezone = "UTC"                   # hourly tables (time in place of date): the zone of their times
# accumulated = ["rain", "radiation"]   # hourly sums that run from 00 UTC, as in ERA5-Land; grids of ERA5: []
# stamps = "start"                   # a sum is of the hour that starts at its time
# wet_rh = 90                        # hours from this humidity on are wet, without a column wet [%]
# url = "https://weather.example.org"   # "power", "open-meteo": another deployment of the service
# allow_hosts = ["weather.example.org"]   # hosts that may have a private address

# Without surveys nothing can be learned. Leave the next table out, and "run" publishes, for pests that have a process
# model, how favourable the weather was among past years: no forecast, and marked "process model, not calibrated".
[surveys]                            # date, pest, value, unit, and parcel_id or lon and lat; a zero is a finding
path = "data/surveys.csv"            # CSV, Excel, GeoJSON points; rs-forecast surveys check FILE proposes the rest
delay_days = 7                       # days from a visit, or from a week's Sunday, to your desk, without known_at
# layout = "wide"                    # a pest a column; "odk": an export of ODK or KoboToolbox; else "long". Where the
                                     # parcels are communes or sub-zones also "areas" (place, week, pest, infested_ha)
                                     # and "annex" (weekly 12-column annexes, one file or a folder of them)
# units = {{ rats = "share" }}         # wide, odk: of a pest's column, if not the catalogue's or in the heading
# within_m = 20                      # points outside every parcel count for the nearest one up to here [m]
# place = "30280"                    # annex: the area it is of, if its sheets do not say
# date_order = "dmy"
# decimal = ","
# thousands = "."
# encoding = "tcvn3"
# columns = {{ date = "NGAY", value = "MATDO" }}

[traps]                              # light traps: trap_id, lon, lat, date, pest, count, and if known nights, working
# path = "data/traps.csv"
# delay_days = 7
# date_order = "dmy"
# decimal = ","
# thousands = "."
# encoding = "tcvn3"
# columns = {{ count = "SOLUONG" }}

[areas]                              # reports of whole communes or sub-zones, which tell of the fields in them:
# path = "data/annexes"              # features, never labels of fields
# layout = "annex"                   # or "areas": place, week, pest, infested_ha, ...
# delay_days = 7                     # days from a week's Sunday to your desk, for rows without known_at
# place = "30280"
# decimal = ","
# thousands = "."
# encoding = "tcvn3"
# columns = {{ place = "MAXA", infested_ha = "DTNHIEM" }}

[forecast]
pests = ["brown_planthopper"]        # of the catalogue, or declared below
horizons_weeks = [1, 2]              # weeks ahead, each a map
class_limits = [0.1, 0.3, 0.6]       # where moderate, high and very high begin [probability]
# preset = "default"                 # of the model; "small" for little data
# seed = 0                           # another number is another draw of the same model

[output]
dir = "outputs"                      # a folder a week, <ISO year>-W<week>
# crs = "EPSG:9208"                  # of the rasters; by default the UTM zone of the parcels
# resolution = 10                    # pixel of the rasters [m]
# geojson = true
# geoparquet = false                 # for hundreds of thousands of parcels

[run]
min_assessable = 0.5                 # below this share of the area a week counts as published degraded
# fetch_days = 30                    # days back whose missing scenes a run downloads by itself; 0: none

[compute]
# scheduler = "tcp://host:8786"      # a dask.distributed cluster that takes the imagery

[[seasons]]                          # an evaluation holds out one season at a time
name = "dong_xuan"
start = "11-01"                      # first day of sowing, each year
# end = "01-15"                      # last day of sowing: where nobody tells a sowing, it lies between the two
# sub_zones = ["Z017", "Z018"]       # where this holds; without it, everywhere
[[seasons]]
name = "he_thu"
start = "03-01"
[[seasons]]
name = "thu_dong"
start = "07-01"

# The sowing window of one year, which goes before that of every year:
# [[seasons]]
# name = "dong_xuan"
# from = "2025-11-05"
# to = "2025-12-31"

# Stages of another crop, or of rice of another length, in order:
# [[stages]]
# crop = "maize"
# stage = "leaves"
# label = "cây con"
# bbch = [10, 19]
# days = [25, 35]

# A pest that is not in the catalogue, or another threshold for one that is:
# [pests.leaf_folder]
# event = "density >= 20"
# unit = "larvae/m2"
# crop = "rice"
# levels = {{ light = 20, medium = 40, heavy = 80 }}
# aliases = ["sâu cuốn lá nhỏ", "SCLN"]   # other names in surveys
# units = {{ "con/m2" = 1 }}           # other units, and what a value is multiplied by
# stale_after_days = 30              # days after the last clear look from which a forecast is marked stale
# doc = "where the threshold comes from"

# Rows of your own for the catalogue: a folder with pests.csv and levels.csv, whose columns are those of the rows there:
# [catalog]
# path = "data/catalog"

# An index of your own:
# [indices.ratio]
# formula = "nir / red"
# valid = [0, 30]
# doc = "what it tells"
"""


def write_start(folder: Path) -> list[Path]:
    """Write the config and make its folders; return what is new.

    Nothing that is there is touched.

    Raises
    ------
    ConfigError
        There is a config already, or ``folder`` is a file.
    OutputError
        It cannot be written.
    """
    root = folder.absolute()
    file = root / CONFIG_FILE
    if root.exists() and not root.is_dir():
        raise ConfigError(f"init: {root} is a file; name a folder")
    if file.exists():
        raise ConfigError(f"init: {file} is there already and stays as it is; name another folder, or move it away")
    made = [path for path in (root / name for name in FOLDERS) if not path.exists()]
    for path in made:
        make_folder(path)
    name = re.sub(r"[^a-z0-9]+", "-", without_marks(root.name)).strip("-") or "region"
    write_atomic(file, CONFIG.format(file=CONFIG_FILE, name=name))
    return [file, *made]
