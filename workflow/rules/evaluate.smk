# Needs: a cell's weights, the benchmarks' questions.
# Makes: predictions, one file a part, the credit of each question and the scores.
# Verbs: evaluate, grade.


rule evaluate:
    """Answer the benchmarks of one part with one cell."""
    input:
        policy=policy_of_cell,
        questions=questions_of_part,
    output:
        predictions="results/<scale>/cells/{cell}/seed{seed}/eval/{part}.jsonl",
        provenance="results/<scale>/cells/{cell}/seed{seed}/eval/{part}.provenance.json",
    log:
        "results/<scale>/cells/{cell}/seed{seed}/logs/evaluate-{part}.log",
    benchmark:
        "results/<scale>/cells/{cell}/seed{seed}/timing/evaluate-{part}.tsv"
    threads: need("evaluate", "cpus")
    resources:
        mem_mb=memory("evaluate"),
        runtime=need("evaluate", "runtime"),
        gpu=need("evaluate", "gpus"),
        rows=EXPERIMENT.active.evaluation.rows,
    params:
        spec=eval_spec,
        state=lambda wildcards, output: (
            f"{Path(output[0]).parent.parent}/state/eval-{wildcards.part}"
        ),
    shell:
        "python -m stgrpo evaluate --spec {params.spec:q} --threads {threads}"
        " --policy {input.policy:q} --questions {input.questions:q}"
        " --rows {resources.rows} --state {params.state:q} --out {output.predictions:q}"
        " > {log:q} 2>&1"


rule grade:
    """Score the predictions of one cell; no model, so a mended rule costs seconds."""
    input:
        predictions=collect(
            "results/<scale>/cells/{{cell}}/seed{{seed}}/eval/{part}.jsonl",
            part=EXPERIMENT.active.evaluation.parts,
        ),
        questions=collect("results/<scale>/questions/{name}.jsonl", name=examined()),
        policy=policy_of_cell,
    output:
        metrics="results/<scale>/cells/{cell}/seed{seed}/metrics.json",
        graded="results/<scale>/cells/{cell}/seed{seed}/graded.jsonl",
    log:
        "results/<scale>/cells/{cell}/seed{seed}/logs/grade.log",
    localrule: True
    params:
        specs=eval_hashes,
    shell:
        "python -m stgrpo grade --cell {wildcards.cell} --seed {wildcards.seed}"
        " --policy {input.policy:q} --specs {params.specs} --predictions {input.predictions:q}"
        " --questions {input.questions:q} --out {output.metrics:q} --graded {output.graded:q}"
        " > {log:q} 2>&1"
