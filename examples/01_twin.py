"""Estimate parameters whose true values are known.

A twin experiment: caliche makes soil temperatures with known parameters and adds noise, then
estimates the parameters from them. If a method cannot find what was put in, there is no point in
giving it real data.

    python examples/01_twin.py
"""

import caliche

caliche.configure()  # double precision and fast loops; before JAX computes anything

experiment = caliche.load_experiment("twin-two-depths")
problem = experiment.problem()  # model + observations + parameters: all that a method needs
result = caliche.estimate(problem, method="lm", starts=20, seed=0)

print(result.reason)
print(f"{'parameter':36s} {'estimate':>11s} {'± sd':>10s} {'truth':>11s}  unit")
for name in result.names:
    p = result.parameters[name]
    truth = experiment.truth[name]
    print(f"{name:36s} {p.estimate:11.5g} {p.sd:10.2g} {truth:11.5g}  {p.unit}")
    assert p.sd is not None
    assert abs(p.estimate - truth) < 4.0 * p.sd, "the error bar should reach the truth"

print()
print("Derived:")
for value, sd, unit, long_name in result.derived.values():
    print(f"  {long_name}: {value:.4g} ± {sd:.2g} {unit}")
agree = sum(start.converged for start in result.starts)
print(
    f"{agree} of {len(result.starts)} starts converged, all to the same optimum"
    if not result.warnings
    else "\n".join(result.warnings)
)
