"""What a posterior says of its intervals: only of methods that were used."""

from __future__ import annotations

import pytest

from caliche.experiments.posterior_agreement import widened_alike


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (("laplace",), ""),
        (("laplace", "profile"), " The threshold of the profile is raised by the same factor."),
        (("laplace", "etki"), " The spread of the draws is raised by the same factor."),
        (
            ("laplace", "profile", "nuts"),
            " The threshold of the profile and the spread of the draws are raised by the same "
            "factor.",
        ),
    ],
)
def test_what_was_widened_is_said_of_what_was_computed(methods, said):
    entry = {method: {"interval95": [0.0, 1.0]} for method in methods}
    summary = {"errors": "inflated", "parameters": {"albedo": entry, "emissivity": {}}}
    assert widened_alike(summary) == said
    assert widened_alike({**summary, "errors": "declared"}) == ""
