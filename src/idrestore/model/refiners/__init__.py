"""Refiners, for noise, for rain, for haze and darkness, and for blur: they change what the rest of the network makes.

Each says of which physics it is (`kind`), counts by the share of what it undoes in a photo, and is left out where that
is next to nothing. At first it changes nothing, so that a network without one becomes one with it, unchanged.
"""
