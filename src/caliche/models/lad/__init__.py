"""LaD: Land Dynamics, a column of soil with snow, a root zone and groundwater."""
