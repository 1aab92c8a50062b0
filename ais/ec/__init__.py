"""Erasure coding: every object of a bucket also as slices on other targets."""
