"""Sphinx's settings for the site: what site_pages.py has put beside this file, in the book theme, without a network."""

import json
from html import escape
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

FACTS = json.loads((Path(__file__).parent / "facts.json").read_text(encoding="utf-8"))  # written by site_pages.py

project, html_title = "visage_lite", "visage_lite, a tutorial"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton"]
exclude_patterns = ["files", "notebooks", "facts.json"]
root_doc = "index"
highlight_language = "none"

nb_execution_mode = "off"  # the notebooks come executed
nb_ipywidgets_js = {}  # these would be asked for from a network
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3

copybutton_selector = ".cell_input pre, .solution pre, .bd-article div.highlight pre:not(.cell_output *)"

html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_extra_path = ["files"]
templates_path = ["templates"]
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html", "sections.html"]}
html_use_index = html_copy_source = html_show_sourcelink = html_show_sphinx = html_show_copyright = False
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "visage_lite"},
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 1,
    "toc_title": "On this page",
    "search_bar_text": "Search",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_content_items": "extra-footer.html",
    "extra_footer": "visage_lite · MIT licence · the paper, its code, weights and data are their authors’",
}


def _inline(translator, node):
    translator.body.append(convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def _block(translator, node):
    translator.body.append(f'<div class="equation">{convert(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode


def _page_facts(app, page, template, context, doctree):
    """What the templates ask for: the description of this page, and the sections of the first one."""
    described = escape(FACTS["descriptions"].get(page, FACTS["descriptions"]["index"]))
    context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{described}">\n'
    links = [link for link in app.env.tocs["index"].findall(nodes.reference) if link["refuri"] == "index"]
    context["sections"] = [(link.astext(), link["anchorname"]) for link in links if link["anchorname"]]


def setup(app):
    """Equations become MathML, which browsers draw by themselves."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.connect("html-page-context", _page_facts)
