"""How Sphinx builds the documentation: `make -C docs html`."""

import perdure

project = "Perdure"
author = "The Perdure founders"
copyright = "The Perdure founders"  # noqa: A001  Sphinx's name for it
version = release = perdure.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"
highlight_language = "python"
nitpicky = False

html_theme = "alabaster"
html_theme_options = {
    "description": "A transactional database of Python object graphs.",
    "page_width": "60em",
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
