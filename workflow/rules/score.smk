# Needs: the training questions, a frame scorer.
# Makes: the importance of every candidate frame for every question.
# Verbs: score.


rule score:
    """Score the frames of the training questions' videos."""
    input:
        questions="results/<scale>/questions/train.jsonl",
        scorer="results/<scale>/scorer",
    output:
        scores="results/<scale>/scores/train.parquet",
        provenance="results/<scale>/scores/train.provenance.json",
    log:
        "results/<scale>/logs/score.log",
    benchmark:
        "results/<scale>/timing/score.tsv"
    threads: need("score", "cpus")
    resources:
        mem_mb=memory("score"),
        runtime=need("score", "runtime"),
        gpu=need("score", "gpus"),
    params:
        spec=score_spec,
    shell:
        "python -m stgrpo score --spec {params.spec:q} --threads {threads}"
        " --gpus {resources.gpu}"
        " --questions {input.questions:q} --scorer {input.scorer:q} --out {output.scores:q}"
        " > {log:q} 2>&1"
