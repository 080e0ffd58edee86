"""The command line: it parses, calls one function, and prints what that returns.

`main` has the table of commands, `training`, `datasets`, `results` and `hub` have the commands, `options` what they
share, `scripts` the command lines of `builder_scripts/`, and `program` how a command ends. Nothing is decided here:
defaults are the recipe's, and the text of a result is its stage's. Libraries are imported by the command that needs
them, so that `--help` takes a moment.
"""
