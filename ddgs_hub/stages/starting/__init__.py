"""From a source of images to a recipe that fits them and this machine: what `ddgs-hub init` does.

`original.look_at` says what there is, `device` what it is computed on. `choosing` makes values of that, each with its
reason; `timing` times a few steps of every stage with them; `draft` is the recipe with its comments, as YAML.
`recipe_file` does it all, and writes the file.
"""
