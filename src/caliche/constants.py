"""Physical constants: primary ones with unit and source; the others are computed from them."""

# Primary
STEFAN_BOLTZMANN = 5.670374419e-8  # W m-2 K-4; CODATA 2018, exact
MOLAR_GAS_CONSTANT = 8.314462618  # J mol-1 K-1; CODATA 2018, exact
MOLAR_MASS_DRY_AIR = 28.96546e-3  # kg mol-1; CIPM-2007, doi:10.1088/0026-1394/45/2/004
MOLAR_MASS_WATER = 18.015268e-3  # kg mol-1; CIPM-2007
SPECIFIC_HEAT_DRY_AIR = 1004.7  # J kg-1 K-1, constant pressure; WMO-No. 8 (2018)
LATENT_HEAT_VAPORISATION = 2.50084e6  # J kg-1 at 0 degC; Ambaum (2020), doi:10.1002/qj.3899
LATENT_HEAT_FUSION = 3.334265e5  # J kg-1 at 0 degC; IAPWS-06, doi:10.1063/1.2183324
FREEZING_POINT = 273.15  # K
GRAVITY = 9.80665  # m s-2, standard acceleration; CGPM 1901
VON_KARMAN = 0.40  # Hoegstroem (1996), doi:10.1007/BF00120937

# Derived
GAS_CONSTANT_DRY_AIR = MOLAR_GAS_CONSTANT / MOLAR_MASS_DRY_AIR  # J kg-1 K-1
WATER_AIR_MASS_RATIO = MOLAR_MASS_WATER / MOLAR_MASS_DRY_AIR  # kg kg-1
VIRTUAL_TEMPERATURE_FACTOR = 1.0 / WATER_AIR_MASS_RATIO - 1.0  # kg kg-1
DRY_ADIABATIC_LAPSE_RATE = GRAVITY / SPECIFIC_HEAT_DRY_AIR  # K m-1

# Of the normal distribution
NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %: 95 % lie within so many standard deviations
