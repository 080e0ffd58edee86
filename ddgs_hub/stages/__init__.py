"""One module for each arrow of Figure 1: it reads folders or repositories, writes one folder, and says what it made.

| module | from | to |
|---|---|---|
| `original` | a source | original images |
| `base`, `scorer` | original images | a DiT from scratch, a cross-fitted scorer |
| `finetune` | original images and a DiT | the fine-tuned DiT |
| `pool` | a DiT | generated images |
| `score` | images and a scorer | the same with their difficulties |
| `sample` | a scored pool and original | the distilled set |
| `compare`, `figures` | distilled and other sets | accuracies, pictures |
| `repository`, `scored_repository` | a distilled set, a scored set | the folder that is published |
| `run` | a recipe | all of these, in their order |

`builders` offers `score` and `sample` as builders of `datasets`. What stages share: `folders` (names of files),
`commands` (the command line that makes a result again), `provenance` (what made it) and `score_request`.

A stage writes its folder whole or not at all, with its own provenance. It does not know in which order stages run, and
does not print: it returns a line for people. `run` alone knows the order, and prints.
"""
