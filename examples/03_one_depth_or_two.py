"""How much is a second sensor worth? Compare the error bars with and without it.

Soil temperature at 5 cm alone, against 5 cm and the surface, both with 0.1 K of noise. The error
bars need no truth, and no measurement campaign: a twin tells in seconds what a sensor would add.

    python examples/03_one_depth_or_two.py
"""

import caliche

caliche.configure()  # double precision and fast loops; before JAX computes anything

one, two = (
    caliche.estimate(caliche.load_experiment(name).problem(), starts=10)
    for name in ("twin-one-depth", "twin-two-depths")
)
print(f"{'parameter':36s} {'5 cm':>20s} {'surface and 5 cm':>20s} {'gain':>6s}")
for name in one.names:
    a, b = one.parameters[name], two.parameters[name]
    bars = [f"{p.estimate:.4g} ± {p.sd:.1g}" for p in (a, b)]
    print(f"{name:36s} {bars[0]:>20s} {bars[1]:>20s} {a.sd / b.sd:5.0f}x")

i, j = (one.names.index(n) for n in ("thermal_conductivity", "volumetric_heat_capacity"))
print()
print("Why: at one depth, conductivity and heat capacity can be exchanged for each other.")
for words, result in (("5 cm", one), ("surface and 5 cm", two)):
    print(f"  correlation of their errors, {words}: {result.correlation[i, j]:.3f}")
assert one.parameters["thermal_conductivity"].sd > 10 * two.parameters["thermal_conductivity"].sd
