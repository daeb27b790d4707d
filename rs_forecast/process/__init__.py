"""Mechanistic models of pests and diseases: weather or trap tables in, tables out. One model a file."""
