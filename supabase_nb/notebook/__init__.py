"""The notebook's side: magics, displays, and the ways tokens come in without leaving traces."""
