"""Pests: the host, what is counted, which count is the event that is forecast, and what each depends on.

The codes of EPPO, the Vietnamese names and their abbreviations are as bulletins and papers write them; no row has been
held against EPPO's database by a person, nor any threshold against a survey standard.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rs_forecast.catalog._table import Table
from rs_forecast.errors import ConfigError

_EVENT = re.compile(r"\s*([a-z_]\w*)\s*(>=|>)\s*(\d+(?:\.\d+)?)\s*")
_COMPARE: dict[str, Callable[[Any, Any], object]] = {">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True, kw_only=True)
class Pest:
    """One pest on one crop. The event is written ``<what is counted> >= <threshold>``, in ``unit``."""

    name: str
    event: str
    unit: str
    doc: str
    crop: str = ""
    """The host; parcels of another crop are not assessable. Empty: any crop."""
    scientific: str = ""
    stale_after_days: int = 30
    """A forecast whose last clear look is older than this is marked ``stale``."""
    levels: tuple[tuple[str, float], ...] = ()
    """Severity levels that a config declares, lightest first: the value each begins at. They are kept in the model's
    card; no product prints their words."""
    aliases: tuple[str, ...] = ()
    """Other names that surveys and bulletins use, Vietnamese ones first; their spelling is matched loosely."""
    units: tuple[tuple[str, float], ...] = ()
    """Other units of a value, and what it is multiplied by to be in ``unit``; a unit that is not named is refused."""
    stages: tuple[int, int] = (0, 99)
    """First and last BBCH stage of the host at which the pest does harm."""
    drivers: tuple[str, ...] = ()
    """What it answers to, in words."""
    horizons_weeks: tuple[int, ...] = (1, 2)
    """How far ahead a warning is of use [weeks]."""
    eppo: str = ""
    """Code of EPPO's database, where known."""
    imagery_sees: str = ""
    imagery_misses: str = ""
    process: str = ""
    """Row of :mod:`rs_forecast.catalog.diseases` or ``insects`` whose model tells of it; empty: none does."""
    biology: str = ""
    """Where ``drivers`` come from."""
    source: str = ""
    """Where the threshold comes from."""
    verified: bool = False
    """Whether a person has held the threshold against its source."""

    def __post_init__(self) -> None:
        for name in ("levels", "units"):  # as JSON gives them back
            pairs = getattr(self, name)
            object.__setattr__(self, name, tuple((str(text), float(value)) for text, value in pairs))
        for name in ("aliases", "stages", "drivers", "horizons_weeks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _ = self._parts

    @property
    def threshold(self) -> float:
        """The value at which the event begins [``unit``]."""
        return float(self._parts[2])

    @property
    def measure(self) -> str:
        """What is counted, such as ``density``."""
        return self._parts[0]

    @property
    def event_text(self) -> str:
        """The event in words: ``density >= 750 insects/m2``."""
        return f"{self.measure} {self._parts[1]} {self.threshold:g} {self.unit}"

    def is_event(self, values: object) -> object:
        """Return for each value whether it is the event; an array for an array."""
        return _COMPARE[self._parts[1]](values, self.threshold)

    def factor(self, unit: str) -> float | None:
        """Return what a value in ``unit`` is multiplied by, None if the catalogue does not say."""
        return 1.0 if unit == self.unit else dict(self.units).get(unit)

    @property
    def _parts(self) -> tuple[str, str, str]:
        match = _EVENT.fullmatch(self.event)
        if match is None:
            raise ConfigError(
                f"pest {self.name!r}: the event {self.event!r} cannot be read; write it as 'density >= 750'"
            )
        return match[1], match[2], match[3]


_LIGHT = "the level 'light' of rs_forecast.catalog.thresholds; unverified"
_SQUARE = (("con/m2", 1.0), ("insects/m²", 1.0), ("con/m²", 1.0), ("per m2", 1.0))
_PER_M2 = (("con/m2", 1.0), ("larvae/m²", 1.0), ("con/m²", 1.0), ("per m2", 1.0), ("insects/m2", 1.0))
_PERCENT = (("percent", 1.0), ("share", 100.0))
_UNDER = "the insect itself, which sits under the canopy"

PESTS: Table[Pest] = Table(
    "pest",
    (
        Pest(
            name="brown_planthopper",
            crop="rice",
            event="density >= 750",
            unit="insects/m2",
            scientific="Nilaparvata lugens",
            eppo="NILALU",
            aliases=("rầy nâu", "RN", "BPH", "ray nau"),
            units=_SQUARE,
            stages=(13, 83),
            horizons_weeks=(1, 2, 4),
            drivers=(
                "warm, not above 32 °C",
                "dense tillers and much nitrogen",
                "standing water",
                "neighbours of like age",
                "a light-trap peak one generation ago",
            ),
            doc="sucks at the stem base and carries grassy stunt; imagery shows the crop it needs and the damage it "
            "leaves, never the insect",
            imagery_sees="hopperburn, once it is there; age and density of the crop",
            imagery_misses=_UNDER,
            biology="Dyck et al. (IRRI); light traps of the delta, Nguyen Van Huynh et al.",
            source=_LIGHT,
        ),
        Pest(
            name="white_backed_planthopper",
            crop="rice",
            event="density >= 750",
            unit="insects/m2",
            scientific="Sogatella furcifera",
            eppo="SOGAFU",
            aliases=("rầy lưng trắng", "RLT", "WBPH"),
            units=_SQUARE,
            stages=(13, 59),
            drivers=("warm and humid weather", "young crops", "arrival by wind"),
            doc="sucks at the stem base, earlier than the brown planthopper, and carries southern dwarf virus",
            imagery_sees="age of the crop; late yellowing",
            imagery_misses=_UNDER,
            biology="Otuka et al., doi 10.1303/aez.2005.221 (migration)",
            source=_LIGHT,
        ),
        Pest(
            name="leaf_folder",
            process="leaf_folder",
            crop="rice",
            event="density >= 25",
            unit="larvae/m2",
            scientific="Cnaphalocrocis medinalis",
            eppo="CNAPME",
            aliases=("sâu cuốn lá nhỏ", "sâu cuốn lá", "SCLN", "SCL"),
            units=_PER_M2,
            stages=(21, 69),
            drivers=("a generation of some 24 days at 27 °C", "lush leaves and much nitrogen", "humid weather"),
            doc="larvae fold leaves and scrape them white; leaves of tillering crops recover",
            imagery_sees="whitened canopies of heavily hit fields; greenness that attracts moths",
            imagery_misses="eggs and young larvae",
            biology="doi 10.1303/aez.15.207 (Applied Entomology and Zoology 15:207)",
            source=_LIGHT,
        ),
        Pest(
            name="stem_borer",
            process="striped_borer",
            crop="rice",
            event="dead_hearts >= 5",
            unit="%",
            scientific="Scirpophaga incertulas, Chilo suppressalis",
            eppo="CHILSU",
            aliases=(
                "sâu đục thân",
                "sâu đục thân 2 chấm",
                "sâu đục thân hai chấm",
                "sâu đục thân sọc nâu",
                "SĐT",
                "SDT",
            ),
            units=_PERCENT,
            stages=(21, 59),
            drivers=("a generation of some 49 days at 27 °C (striped borer)", "moth flights seen in light traps"),
            doc="larvae bore into tillers: dead hearts while the crop tillers, white heads after; the code is of Chilo",
            imagery_sees="nothing before white heads are many",
            imagery_misses="eggs, larvae, dead hearts",
            biology="degree-days as in rs_forecast.process; yellow stem borer has no constants that were found",
            source=_LIGHT,
        ),
        Pest(
            name="leaf_blast",
            process="leaf_blast",
            crop="rice",
            event="incidence >= 5",
            unit="%",
            scientific="Pyricularia oryzae",
            eppo="PYRIOR",
            aliases=("đạo ôn lá", "bệnh đạo ôn lá", "cháy lá", "bệnh cháy lá", "ĐÔL", "DOL"),
            units=_PERCENT,
            stages=(13, 49),
            drivers=(
                "ten hours of wet leaves and more",
                "nights of 20 to 25 °C",
                "much nitrogen",
                "susceptible varieties",
            ),
            doc="spots on leaves; in tillering crops they can kill whole patches",
            imagery_sees="patches that have burnt; vigour of the crop",
            imagery_misses="infection, some seven days before lesions",
            biology="Savary et al. 2012, doi 10.1016/j.cropro.2011.11.009; BLASTAM",
            source=_LIGHT,
        ),
        Pest(
            name="neck_blast",
            process="leaf_blast",
            crop="rice",
            event="incidence >= 2.5",
            unit="%",
            scientific="Pyricularia oryzae",
            eppo="PYRIOR",
            aliases=("đạo ôn cổ bông", "bệnh đạo ôn cổ bông", "thối cổ bông", "ĐÔCB", "DOCB"),
            units=_PERCENT,
            stages=(49, 77),
            drivers=("wet leaves around heading", "leaf blast on the upper leaves before heading"),
            doc="rots the neck of the panicle; the grain above it stays empty",
            imagery_sees="the week of heading",
            imagery_misses="the infection; a pale field at ripening is ripening",
            biology="as leaf blast",
            source=_LIGHT,
        ),
        Pest(
            name="bacterial_blight",
            process="bacterial_blight",
            crop="rice",
            event="incidence >= 10",
            unit="%",
            scientific="Xanthomonas oryzae pv. oryzae",
            eppo="XANTOR",
            aliases=("bạc lá", "bệnh bạc lá", "cháy bìa lá", "bệnh cháy bìa lá", "BLB"),
            units=_PERCENT,
            stages=(21, 77),
            drivers=("storms that wound leaves", "warm, wet weather", "much nitrogen"),
            doc="bacteria enter wounds of the leaf; its margins dry out",
            imagery_sees="dry canopies of heavily hit fields",
            imagery_misses="the first streaks",
            biology="Savary et al. 2012, doi 10.1016/j.cropro.2011.11.009",
            source=_LIGHT,
        ),
        Pest(
            name="sheath_blight",
            process="sheath_blight",
            crop="rice",
            event="incidence >= 10",
            unit="%",
            scientific="Rhizoctonia solani",
            eppo="RHIZSO",
            aliases=("khô vằn", "bệnh khô vằn", "đốm vằn", "bệnh đốm vằn"),
            units=_PERCENT,
            stages=(21, 77),
            drivers=("dense, closed canopies", "warm and humid weather", "much nitrogen"),
            doc="climbs the sheaths of dense crops from the water line up",
            imagery_sees="density of the canopy",
            imagery_misses="lesions, which are under it",
            biology="Savary et al. 2012, doi 10.1016/j.cropro.2011.11.009; habitat: doi 10.3390/rs15235530",
            source=_LIGHT,
        ),
        Pest(
            name="rats",
            crop="rice",
            event="damage >= 2.5",
            unit="%",
            scientific="Rattus argentiventer",
            aliases=("chuột", "chuột hại", "chuột hại lúa"),
            units=_PERCENT,
            stages=(13, 83),
            horizons_weeks=(2, 4),
            drivers=(
                "fields that are sown out of step",
                "dykes, grass and dry ground nearby",
                "the last crop's stubble",
            ),
            doc="cut tillers, most at booting, away from the field's edge",
            imagery_sees="bare ground nearby, and which fields are out of step",
            imagery_misses="cut tillers before they are many",
            biology="no model with constants was found",
            source=_LIGHT,
        ),
        Pest(
            name="wheat_stripe_rust",
            crop="wheat",
            event="incidence >= 1",
            unit="%",
            scientific="Puccinia striiformis",
            eppo="PUCCST",
            aliases=("yellow rust", "stripe rust"),
            units=_PERCENT,
            stages=(25, 75),
            drivers=("cool, wet weather", "mild winters", "infected fields upwind"),
            doc="yellow stripes on leaves, from foci that spread",
            imagery_sees="foci of some size after jointing, by red edge",
            imagery_misses="latent infection",
            biology="doi 10.3390/rs14051221",
            source="set so that a field counts once it is found infected; unverified",
        ),
        Pest(
            name="corn_earworm",
            crop="maize",
            event="moths >= 7",
            unit="moths/week",
            scientific="Helicoverpa zea",
            eppo="HELIZE",
            aliases=("bollworm", "tomato fruitworm"),
            stages=(51, 75),
            units=(("moths/night", 7.0),),
            drivers=("moth flights from the south", "warm nights", "fresh silks"),
            doc="larvae eat kernels from the silk end; moths are counted in pheromone traps",
            imagery_sees="when maize stands in silk",
            imagery_misses="moths, eggs and larvae",
            biology="no model with constants was found",
            source="one moth a night, set for want of a source; unverified",
        ),
        Pest(
            name="cercospora_leaf_spot",
            crop="sugar_beet",
            event="incidence >= 5",
            unit="%",
            scientific="Cercospora beticola",
            eppo="CERCBE",
            aliases=("cercospora",),
            units=_PERCENT,
            stages=(31, 49),
            drivers=(
                "days above 25 °C with wet leaves or humid nights",
                "beet in the same field or near it in past years",
            ),
            doc="grey spots that kill leaves from July on",
            imagery_sees="loss of leaves late in the season",
            imagery_misses="the first spots",
            biology="Wolf & Verreet 2002, doi 10.1094/PDIS.2002.86.4.336",
            source="first of the thresholds of Wolf & Verreet 2002, doi 10.1094/PDIS.2002.86.4.336; unverified",
        ),
    ),
)
