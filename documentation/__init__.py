"""How the documentation is built: `mkdocs.yml` calls `hooks`, which fill in what is made from the code.

`commands` writes the reference of the command line, `recipes` that of the recipes, `equations` draws TeX.
"""
