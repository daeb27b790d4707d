"""The texts that lie beside the data."""

NOTE = """\
# SYNTHETIC

Everything in this folder is made up: fields, communes, weather, crops, counts and images. No such valley exists, no
satellite saw it, and nothing here tells about rice or hoppers in An Giang. It was made to try the software on data
whose truth is known, by

    from rs_forecast.simulate import simulate
    simulate(out, seed={seed}, parcels={parcels}, years={years}, image_years={image_years}, end="{end}")

| file | what |
|---|---|
| `rs_forecast.toml` | a configuration over these files |
| `parcels.gpkg`, `communes.gpkg` | fields with sub-zone and commune; communes (EPSG:32648) |
| `weather.csv` | daily, three stations |
| `crops.csv` | what the office was told of sowing and harvest; the newest known row of a crop holds |
| `surveys.csv` | visits: observed with error, reported late, more often where trouble is expected |
| `scenes/` | an overpass every 5 days: a COG a band, digital numbers, scale and offset in the band's metadata |
| `truth.csv` | the answers: density in every field and week with a crop, whether it is the event, \
age of the crop, and the chance of the event as known a week before by one who knows everything up to then (`oracle`) |
"""

CONFIG = """\
# SYNTHETIC: a made-up rice valley; see SYNTHETIC.md. Paths are relative to this file.

[region]
name = "synthetic-valley"
timezone = "Asia/Ho_Chi_Minh"
communes = "communes.gpkg"

[workspace]
dir = "."                    # holds data/ and models/

[parcels]
path = "parcels.gpkg"
id = "parcel_id"

[crops]
path = "crops.csv"

[imagery]
source = "local"
path = "scenes"
indices = ["ndvi", "evi", "ndre", "lswi"]

[weather]
source = "csv"
path = "weather.csv"

[surveys]
path = "surveys.csv"

[forecast]
pests = ["brown_planthopper"]
horizons_weeks = [1, 2]
class_limits = [0.1, 0.3, 0.6]

[output]
dir = "outputs"

[[seasons]]                  # an evaluation holds out one season at a time
name = "dong_xuan"
start = "11-01"
[[seasons]]
name = "he_thu"
start = "03-01"
[[seasons]]
name = "thu_dong"
start = "07-01"
"""
