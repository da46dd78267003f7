"""Refiners, at most one a physics: parts that change further what the rest of the network makes of a photo.

Each says of what `kind` it is, counts by the share of that physics in a photo, and is left out where that is next to
nothing. At first it changes nothing, so that a network without one becomes one with it, unchanged.
"""
