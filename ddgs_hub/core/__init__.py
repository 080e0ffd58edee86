"""What every room stands on: rows and images, text from strangers, this machine, and the client of the Hub.

The room knows no stage and no method: nothing here knows what a scorer, a pool or a distilled set is. Its modules are
imported one by one (`from ddgs_hub.core.errors import InputError`), because some load torch and others must not.

Rows and images
    rows            reads and writes the Parquet files of a folder in Hub layout
    parquet         opens one Parquet file, here or on the Hub, and writes one: the only place where Parquet is written
    columns         the columns of ddgs-hub, and which of a foreign table's columns they are
    decoding        encoded bytes → pixels: the only place where images are decoded
    soft_labels     the columns of soft labels, and what networks are trained on
    histogram       difficulties as checked arrays, and the bins of every histogram of them
    image_batches   the images of rows in batches, decoded and transformed ahead of their use

What comes from strangers, checked before it is used
    foreign_rows    the one door for rows: our columns, our types, images as bytes
    schema          JSON, read by a schema
    front_matter    YAML of cards and recipes
    text            text that is shown in a terminal or a message
    markdown        text that is shown in a card
    files           files and folders that a user or a dataset names
    model_files     the files of a model in a folder or a repository
    weights         the tensors in files of weights, and models that must fit them
    components      models of diffusers pipelines

This machine
    errors          `InputError`, the exception for a user's mistake
    staging         folders that are written whole or not at all, by one command at a time
    parts           work in parts, each a file: a killed stage goes on behind the last one
    checkpoints     the state of a training: a killed one resumes from the last
    claims          which worker does which task, in a folder that several machines may share
    processes       the processes of a launch: one, or several under `accelerate launch`
    fingerprint     hashes of everything that decides a result
    hashing         hashes of files
    machine         full disks, peak memory
    lazy            rooms that import a name when it is first used
    file_names      names of the files of a model

The Hub
    hub_client/     finding, pinning and reading repositories, with patience
    tokens          the token that a command was given
"""
