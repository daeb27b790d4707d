"""Checks of the tables: control points, communes, parcels, surveys, crops, weather."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rs_forecast.doctor.finding import Finding, Patient, fail, late, ok, span, warning
from rs_forecast.errors import listing
from rs_forecast.inputs import (
    config_areas,
    config_communes,
    config_crops,
    config_parcels,
    config_surveys,
    config_traps,
    config_weather,
)
from rs_forecast.process_map import LEAST_YEARS, covered
from rs_forecast.sources.control_points import ControlPoint, explain_miss, miss


def check_control(patient: Patient) -> Iterator[Finding]:
    """Whether the transform at hand puts known places where they are."""
    most = patient.config.region.control_tolerance_m
    for part in patient.config.region.control_points:
        point = ControlPoint(**dict(part))
        metres = miss(point)
        found = f"{point.called} in {point.crs} lies {metres:.2f} m from its place, allowed is {most:g} m"
        if metres <= most:
            yield ok("control points", found)
        else:
            why = explain_miss(point, most) or "nothing that is known explains it"
            yield fail("control points", found, f"{why}; mend the point, or ask who gave it")


def check_communes(patient: Patient) -> Iterator[Finding]:
    """How many communes there are, now and before."""
    communes = config_communes(patient.config)
    if communes is not None:
        ended = int((communes.table["valid_to"] < patient.today).sum())
        yield ok("communes", f"{communes.source}: {len(communes.table) - ended} of today, {ended} of before")


def check_parcels(patient: Patient) -> Iterator[Finding]:
    """How many parcels there are, where, and which lack what maps and scores use."""
    parcels = config_parcels(patient.config)
    patient.parcels = parcels
    patient.marked["parcels"] = bool(parcels.attrs.get("synthetic"))
    hectares = parcels.to_crs(parcels.estimate_utm_crs()).area.sum() / 1e4
    code = parcels.crs.to_epsg()
    yield ok("parcels", f"{len(parcels)}, {hectares:.0f} ha, in {f'EPSG:{code}' if code else parcels.crs.name}")
    wanted = {
        "commune_code": "maps and indicators are made without communes",
        "sub_zone": "scores are resampled without sub-zones",
        "crop": "every parcel counts as growing the pest's host crop",
    }
    for name, effect in wanted.items():
        empty = int(parcels[name].isna().sum()) if name in parcels else len(parcels)
        if empty:
            column = f'map your column: [parcels] columns = {{ {name} = "YOURS" }}'
            mend = column if empty == len(parcels) else f"fill them in {patient.config.parcels.path.name}"
            yield warning("parcels", f"{empty} of {len(parcels)} have no {name}: {effect}", mend)
    if "crop" in parcels:
        yield from _hosts(patient, parcels["crop"].dropna())


def _hosts(patient: Patient, crops: pd.Series) -> Iterator[Finding]:
    """Warn of each pest of the config for which no field that says its crop is a host."""
    grown = set(crops)
    for name in patient.config.forecast.pests:
        host = patient.config.all_pests[name].crop
        if host and grown and host not in grown:
            said = f"none grows {host}, the host of {name}; found {listing(sorted(grown))}"
            yield warning("parcels", said, f"write the crop as {host}, or leave it empty where it is not known")


def check_surveys(patient: Patient) -> Iterator[Finding]:
    """Rows and events of each pest, and the last visit; without surveys, which pests a process model stands in for."""
    surveys = config_surveys(patient.config, patient.parcels)
    if surveys is None:
        yield _no_surveys(patient)
        return
    patient.marked["surveys"] = bool(surveys.attrs.get("synthetic"))
    for name in patient.config.forecast.pests:
        rows = surveys[surveys["pest"] == name]
        if rows.empty:
            mend = "there is nothing to learn from: add surveys of it, or take it out of [forecast] pests"
            yield fail("surveys", f"no row of {name}", mend)
            continue
        pest = patient.config.all_pests[name]
        events = int(np.count_nonzero(np.asarray(pest.is_event(rows["value"].to_numpy()))))
        said = f"{name}: {len(rows)} rows, {events} of them events, {span(rows)}"
        yield late("surveys", said, rows, patient)
        if not events:
            mend = f"a model needs both; see that values and units are right ({pest.event_text})"
            yield warning("surveys", f"{name}: no row reaches the threshold", mend)


def _no_surveys(patient: Patient) -> Finding:
    pests, others = covered([patient.config.all_pests[name] for name in patient.config.forecast.pests])
    lost = f"no process model stands in for {listing(others, 20)}"
    if not pests:
        mend = "set [surveys] path and train, or name [forecast] pests that have a process model (the guide lists them)"
        return fail("surveys", f"no file is named, and {lost}", mend)
    found = f"no file is named: process models, not calibrated, stand in for {listing((p.name for p in pests), 20)}"
    mend = "set [surveys] path and train, as soon as there are surveys"
    return warning("surveys", f"{found}; {lost}" if others else found, mend)


def check_areas(patient: Patient) -> Iterator[Finding]:
    """Rows of area data, and how many of their places hold parcels."""
    areas = config_areas(patient.config)
    if areas is None:
        return
    patient.marked["areas"] = bool(areas.attrs.get("synthetic"))
    known = [patient.parcels[name] for name in ("parcel_id", "sub_zone", "commune_code") if name in patient.parcels]
    places = set(areas["place"])
    here = places & {str(code) for codes in known for code in codes.dropna()}
    said = f"{len(areas)} rows of {len(places)} places, {len(here)} of them with parcels, {span(areas, 'week')}"
    yield late("areas", said, areas.rename(columns={"week": "date"}), patient)
    if not here:
        mend = "use the parcels' commune_code or sub_zone as place, or name [region] communes"
        yield warning("areas", "no place is a commune or sub-zone of a parcel, so no field is told of them", mend)


def check_crops(patient: Patient) -> Iterator[Finding]:
    """Rows of crops, and when they were sown."""
    crops = config_crops(patient.config, patient.parcels)
    if crops is None:
        mend = "set [crops] path, if the office has sowing dates: the age of a crop is a strong sign"
        yield warning("crops", "no file is named, so ages of crops are unknown", mend)
        return
    patient.marked["crops"] = bool(crops.attrs.get("synthetic"))
    yield ok("crops", f"{len(crops)} rows, sown {span(crops, 'sown')}")


def check_traps(patient: Patient) -> Iterator[Finding]:
    """Rows of light traps, and when they were emptied."""
    traps = config_traps(patient.config)
    if traps is None:
        return
    patient.marked["traps"] = bool(traps.attrs.get("synthetic"))
    yield ok("traps", f"{len(traps)} rows of {traps['trap_id'].nunique()} traps, {span(traps, 'date')}")


def check_weather(patient: Patient) -> Iterator[Finding]:
    """Rows and sites of the weather, and the last day."""
    weather = config_weather(patient.config, patient.parcels)
    alone = patient.config.surveys.path is None
    if weather is None and alone:
        yield fail("weather", 'source = "none"', "set [weather] source and path; without surveys all rests on weather")
        return
    if weather is None:
        yield warning("weather", 'source = "none"', "set [weather] source and path; a forecast without it is degraded")
        return
    patient.marked["weather"] = bool(weather.rows.attrs.get("synthetic"))
    sites = len(weather.rows["site"].unique())
    yield late("weather", f"{len(weather.rows)} rows of {sites} sites, {span(weather.rows)}", weather.rows, patient)
    years = patient.today.year - weather.rows["date"].min().year
    if alone and years < LEAST_YEARS:
        mend = "bring more: rs-forecast fetch CONFIG --start DAY, or a longer file"
        yield warning("weather", f"{years} past years; process models are compared with at least {LEAST_YEARS}", mend)
