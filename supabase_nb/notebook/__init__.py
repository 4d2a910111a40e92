"""The notebook integration: magics, displays, and entering tokens without leaving them in the notebook."""
