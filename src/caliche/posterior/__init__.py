"""Error bars beyond curvature: profiles, sampling and draws."""
