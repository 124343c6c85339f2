# Needs: questions, the policy to start from, and scores for the importance cells; a cell that is the same as its `from`
# cell but for more steps goes on from the end of that one's training.
# Makes: a cell's weights, its metrics a step, its groups and some of its rollouts.
# Verbs: train.


rule train:
    """Train one cell of the ablation."""
    input:
        unpack(scores_of_cell),
        unpack(stem_of_cell),
        questions="results/<scale>/questions/train.jsonl",
        policy="results/<scale>/policy",
    output:
        model=directory("results/<scale>/cells/{cell}/seed{seed}/model"),
        spec="results/<scale>/cells/{cell}/seed{seed}/train.json",
        metrics="results/<scale>/cells/{cell}/seed{seed}/train.jsonl",
        rollouts="results/<scale>/cells/{cell}/seed{seed}/rollouts.jsonl",
        groups="results/<scale>/cells/{cell}/seed{seed}/groups.jsonl",
    log:
        "results/<scale>/cells/{cell}/seed{seed}/logs/train.log",
    benchmark:
        "results/<scale>/cells/{cell}/seed{seed}/timing/train.tsv"
    wildcard_constraints:
        cell=trained_cell(),
    # The longest jobs, and others wait for them: what is short fills up the end.
    priority: 1
    # With Apptainer its launcher enters the image by itself: the next slice of time is asked for from outside of it.
    container:
        None if IN_IMAGE else EXPERIMENT.container
    threads: need("train", "cpus") // tasks_per_node()
    resources:
        **nodes_and_gpus(),
        mem_mb=memory("train"),
        runtime=need("train", "runtime"),
        processes=EXPERIMENT.active.processes,
        sharding=EXPERIMENT.active.sharding,
        micro_rows=EXPERIMENT.active.micro_rows,
        save_steps=EXPERIMENT.active.save_steps,
        keep=lambda wildcards: int(EXPERIMENT.is_stem(wildcards.cell)),
        sharing=EXPERIMENT.active.sharing,
    params:
        spec=train_spec,
        scores=lambda wildcards, input: (
            ["--scores", input.scores] if "scores" in input.keys() else []
        ),
        stem=lambda wildcards, input: (
            ["--stem", input.stem] if "stem" in input.keys() else []
        ),
        # Derived from resources, so that a change of them retrains nothing.
        launcher=launcher,
        sharding=lambda wildcards, resources: (
            ["--deepspeed", f"envs/{resources.sharding}.json"]
            if resources.sharding != "ddp"
            else []
        ),
        minutes=lambda wildcards, resources: (
            ["--minutes", resources.runtime] if workflow.remote_exec else []
        ),
        keep=lambda wildcards, resources: ["--keep"] if resources.keep else [],
        threads=lambda wildcards, resources: (
            need("train", "cpus") // resources.processes
        ),
        # What grows stands in a folder that Snakemake does not know, because it deletes outputs before an attempt.
        state=lambda wildcards, output: f"{Path(output.spec).parent}/state/train",
        out=lambda wildcards, output: f"{Path(output.spec).parent}",
    shell:
        "bash workflow/scripts/slice.sh {log:q} {params.out:q}/logs/attempts.log"
        " {params.launcher:q} python -m stgrpo train --spec {params.spec:q}"
        " --threads {params.threads} --questions {input.questions:q} {params.scores:q}"
        " --policy {input.policy:q} {params.stem:q} {params.keep:q} --nodes {resources.nodes}"
        " --processes {resources.processes} {params.sharding:q} {params.minutes:q}"
        " --micro-rows {resources.micro_rows} --save-steps {resources.save_steps}"
        " --sharing {resources.sharing}"
        " --state {params.state:q} --out {params.out:q}"
