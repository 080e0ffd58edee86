"""A study: the cells of a table of the paper, what they are made of, and the table.

| module | what it holds |
|---|---|
| `study_folder` | names of folders and files |
| `sets` | the set of images of each method, and the tasks that make it |
| `cells` | one network trained on one set: the result, its file, and what it takes |
| `tasks` | tasks that workers share out among themselves |
| `report` | the table and its files |
| `reproduce` | all of it in order |
"""
