"""LaD: Land Dynamics, a column of soil with snow, a root zone and groundwater.

Equations: Milly and Shmakin (2002), J. Hydrometeorol. 3, 283,
doi:10.1175/1525-7541(2002)003<0283:GMOLWA>2.0.CO;2, and what GFDL's code land_lad adds to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest
from caliche.models.base import Diagnostics, Forcing, ParameterDeclaration, Params, Profile
from caliche.models.lad import code_scheme, parameters, smooth_scheme
from caliche.models.lad.fluxes import BulkFluxes, Drag, FluxLaw
from caliche.models.lad.state import ORIGINAL, OURS, Constants, LaDState, Outcome, PreparedLaD
from caliche.models.lad.tables import COVERS, SOILS
from caliche.physics.layers import LayerColumn
from caliche.physics.switches import smooth_step

_FORCING = ("incoming_shortwave", "incoming_longwave", "air_temperature", "precipitation")
_DIAGNOSTICS = (
    "soil_temperature",
    "surface_temperature",
    "snow_water_equivalent",
    "root_zone_water",
    "groundwater",
    "outgoing_shortwave",
    "outgoing_longwave",
    "net_radiation",
    "sensible_heat_flux",
    "latent_heat_flux",
    "turbulent_heat_flux",
    "ground_heat_flux",
    "evaporation",
    "snowmelt",
    "drainage",
    "groundwater_outflow",
    "runoff",
    "energy_imbalance",
    "water_imbalance",
)


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    """Plain floats: static fields are hashed into the compilation cache."""
    return tuple(float(value) for value in values)


class LaD(eqx.Module):
    """Land Dynamics: heat in layered soil, snow, a root zone and groundwater under one surface.

    Cover and soil type choose the defaults of the parameters, each of which can be set by itself.
    The first layer's temperature is that of the surface, whether bare, vegetated or snowy.

    Parameters
    ----------
    time_step : s.
    vegetation, soil : names in `caliche.models.lad.tables`.
    scheme : `smooth` conserves water and energy to round-off and is differentiable at every switch;
        `code` keeps order, switches and constants of the original, for comparison.
    thicknesses : of the soil layers, m, from the surface down; no heat passes below the last.
    measurement_height : of wind, temperature and humidity above the displacement height, m.
    drag : transfer after Monin and Obukhov, or neutral.
    gustiness : m s-1, added in quadrature to the wind.
    soil_freezing : whether water freezes in the soil (off in the original); brings the parameter
        `freezable_water`.
    initial_snow : snow at the start, kg m-2.
    largest_snow : snow (kg m-2) beyond which it runs off as ice.
    fluxes : another law of the turbulent fluxes; None for bulk transfer with the options above.
    """

    time_step: float = eqx.field(static=True, converter=float)
    vegetation: str = eqx.field(static=True, default="grass")
    soil: str = eqx.field(static=True, default="medium")
    scheme: Literal["smooth", "code"] = eqx.field(static=True, default="smooth")
    thicknesses: tuple[float, ...] = eqx.field(
        static=True, default=(0.005, 0.045, 0.10, 0.35, 1.0), converter=_floats
    )
    measurement_height: float = eqx.field(static=True, default=10.0, converter=float)
    drag: Drag = eqx.field(static=True, default="monin-obukhov")
    gustiness: float = eqx.field(static=True, default=0.3, converter=float)
    soil_freezing: bool = eqx.field(static=True, default=False)
    initial_snow: float = eqx.field(static=True, default=0.0, converter=float)
    largest_snow: float = eqx.field(static=True, default=1000.0, converter=float)
    fluxes: FluxLaw | None = None

    def __check_init__(self) -> None:
        for what, name, known in (
            ("vegetation", self.vegetation, COVERS),
            ("soil", self.soil, SOILS),
            ("scheme", self.scheme, ("smooth", "code")),
            ("drag", self.drag, ("monin-obukhov", "neutral")),
        ):
            if name not in known:
                raise InputError(
                    f"{what} that is one of {', '.join(known)}", repr(name), nearest(name, known)
                )
        if not self.thicknesses or min(self.thicknesses) <= 0.0:
            raise InputError(
                "thicknesses of one layer or more, all positive",
                f"{list(self.thicknesses)}",
                "write [0.005, 0.045, 0.1, 0.35, 1.0] in metres",
            )
        roughness = COVERS[self.vegetation].roughness_length
        if self.fluxes is None and not 0.4 * self.measurement_height > roughness:
            raise InputError(
                f"a measurement_height well above the roughness length of {roughness:g} m",
                f"{self.measurement_height:g} m",
                "give the height above the displacement height",
            )

    # -- what the model declares ------------------------------------------------------------

    @property
    def law(self) -> FluxLaw:
        """The law of the turbulent fluxes."""
        if self.fluxes is not None:
            return self.fluxes
        return BulkFluxes(
            self.measurement_height, self.drag, self.gustiness, original=self.scheme == "code"
        )

    @property
    def declarations(self) -> tuple[ParameterDeclaration, ...]:
        cover, soil = COVERS[self.vegetation], SOILS[self.soil]
        own = parameters.declare(cover, soil, self.soil_freezing)
        return (*own, *self.law.declare(cover))

    @property
    def forcing_variables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*_FORCING, *self.law.forcing_variables]))

    @property
    def diagnostics(self) -> tuple[str, ...]:
        return _DIAGNOSTICS

    @property
    def depths(self) -> Mapping[str, np.ndarray]:
        """Centres of the layers for temperature, and the faces between them for the heat flux."""
        faces = np.concatenate([[0.0], np.cumsum(self.thicknesses)])
        centres = 0.5 * (faces[1:] + faces[:-1])
        # Without the round-off of the sum, so that 0.1 m is 0.1 m.
        return {"soil_temperature": centres.round(12), "ground_heat_flux": faces.round(12)}

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return parameters.derived_labels()

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        return parameters.derive(params)

    # -- the two pure functions, and their preparation --------------------------------------

    def prepare(self, params: Params) -> PreparedLaD:
        law = self.law
        values = {**params, **parameters.derive(params), **law.prepare(params)}
        column = LayerColumn.build(
            self.thicknesses,
            params["thermal_conductivity"],
            params["volumetric_heat_capacity"],
            self.time_step,
        )
        return PreparedLaD(values, column, law, self.time_step, self.largest_snow, self._constants)

    def init_state(self, prepared: PreparedLaD, forcing: Forcing) -> LaDState:
        values, constants = prepared.values, prepared.constants
        temperature = values["initial_temperature"] - constants.freezing_point
        layers = len(self.thicknesses)
        frozen = ()
        if self.soil_freezing:
            width = smooth_scheme.FREEZING_WIDTH
            liquid = smooth_step(0.5 * (temperature / width + 1.0))
            bound = (1.0 - liquid) * values["freezable_water"] * constants.fusion
            frozen = (bound,) * layers
        return LaDState(
            (temperature,) * layers,
            frozen,
            jnp.asarray(self.initial_snow),
            values["initial_root_zone_saturation"] * values["root_zone_capacity"],
            values["initial_groundwater"],
        )

    def diagnose(self, prepared: PreparedLaD, state: LaDState) -> Diagnostics:
        freezing, layers = prepared.constants.freezing_point, state.temperatures
        return {
            "soil_temperature": Profile(
                len(layers),
                lambda k: freezing + layers[k],
                lambda: freezing + jnp.stack(layers),
            ),
            "surface_temperature": freezing + layers[0],
            "snow_water_equivalent": state.snow,
            "root_zone_water": state.root_zone,
            "groundwater": state.groundwater,
        }

    def step(
        self, prepared: PreparedLaD, state: LaDState, forcing: Forcing
    ) -> tuple[LaDState, Diagnostics]:
        scheme = smooth_scheme.step if self.scheme == "smooth" else code_scheme.step
        outcome = scheme(prepared, state, forcing)
        net = (
            forcing["incoming_shortwave"]
            - outcome.outgoing_shortwave
            + forcing["incoming_longwave"]
            - outcome.outgoing_longwave
        )
        turbulence = outcome.sensible_heat_flux + outcome.latent_heat_flux
        runoff = outcome.groundwater_outflow + outcome.snow_runoff
        diagnostics = {
            **self.diagnose(prepared, outcome.state),
            "outgoing_shortwave": outcome.outgoing_shortwave,
            "outgoing_longwave": outcome.outgoing_longwave,
            "net_radiation": net,
            "sensible_heat_flux": outcome.sensible_heat_flux,
            "latent_heat_flux": outcome.latent_heat_flux,
            "turbulent_heat_flux": turbulence,
            "ground_heat_flux": self._ground_heat_flux(prepared, state, outcome, net - turbulence),
            "evaporation": outcome.evaporation,
            "snowmelt": outcome.snowmelt,
            "drainage": outcome.drainage,
            "groundwater_outflow": outcome.groundwater_outflow,
            "runoff": runoff,
            "energy_imbalance": self._energy_imbalance(prepared, state, outcome, net),
            "water_imbalance": self._water_imbalance(
                state, outcome, forcing["precipitation"] - outcome.evaporation - runoff
            ),
        }
        return outcome.state, diagnostics

    # -- parts --------------------------------------------------------------------------------

    @property
    def _constants(self) -> Constants:
        return OURS if self.scheme == "smooth" else ORIGINAL

    def _ground_heat_flux(
        self, prepared: PreparedLaD, before: LaDState, outcome: Outcome, available: Array
    ) -> Profile:
        """Heat flux down through the faces of layers (W m-2); at the surface, after melt."""
        surface = available - prepared.constants.fusion * outcome.snowmelt
        last = len(self.thicknesses)

        def through(face: int) -> Array:
            if face == 0:
                return surface
            if face == last:
                return jnp.zeros_like(surface)
            # What leaves the layers above is what they got and did not keep.
            kept = self._heat_gained(prepared, before, outcome.state, face)
            return surface - kept / self.time_step

        return Profile(last + 1, through, lambda: jnp.stack([through(k) for k in range(last + 1)]))

    def _heat_gained(
        self, prepared: PreparedLaD, before: LaDState, after: LaDState, layers: int
    ) -> Array:
        """Heat gained by the first layers over a step, that of frozen water included, J m-2."""
        gained = prepared.column.heat_gained(
            after.temperatures[:layers], before.temperatures[:layers]
        )
        changes = zip(self.thicknesses[:layers], after.frozen, before.frozen, strict=False)
        for thickness, new, old in changes:
            gained = gained - thickness * (new - old)
        return gained

    def _energy_imbalance(
        self, prepared: PreparedLaD, before: LaDState, outcome: Outcome, net: Array
    ) -> Array:
        """Energy that came in and was not kept (W m-2): what a scheme leaks."""
        constants, after = prepared.constants, outcome.state
        ice = outcome.snowfall - outcome.snow_runoff
        coming = net - outcome.sensible_heat_flux - constants.vaporisation * outcome.evaporation
        kept = self._heat_gained(prepared, before, after, len(self.thicknesses))
        kept = kept - constants.fusion * (after.snow - before.snow)
        return coming - constants.fusion * ice - kept / self.time_step

    def _water_imbalance(self, before: LaDState, outcome: Outcome, coming: Array) -> Array:
        """Water that came in and was not kept, kg m-2 s-1."""
        after = outcome.state
        kept = after.snow - before.snow + (after.root_zone - before.root_zone)
        kept = kept + (after.groundwater - before.groundwater)
        return coming - kept / self.time_step
