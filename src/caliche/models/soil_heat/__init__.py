"""SoilHeat: conduction in a soil column under a surface energy balance."""
