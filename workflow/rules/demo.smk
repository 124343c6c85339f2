# Needs: nothing.
# Makes: the demo's hub of corpora, its tiny policy and its tiny frame scorer.
# Verbs: demo, warm.


rule world:
    """Render the demo's world and write its corpora as the Hub lays them out."""
    output:
        "resources/<scale>/hub/Video-R1/Video-R1-data/manifest.json",
        "resources/<scale>/hub/lmms-eval/TempCompass/manifest.json",
    log:
        "results/<scale>/logs/world.log",
    resources:
        mem_mb=need("world", "mem_mb"),
        runtime=need("world", "runtime"),
    params:
        spec=world_spec,
        hub=lambda wildcards: HUB,
    shell:
        "python -m stgrpo demo --spec {params.spec:q} --hub {params.hub:q} > {log:q} 2>&1"


rule warm_policy:
    """Warm up the tiny policy from which every cell starts."""
    output:
        directory("results/<scale>/policy"),
    log:
        "results/<scale>/logs/warm_policy.log",
    threads: need("warm", "cpus")
    resources:
        mem_mb=need("warm", "mem_mb"),
        runtime=need("warm", "runtime"),
    params:
        spec=warm_policy_spec,
    shell:
        "python -m stgrpo warm --model policy --spec {params.spec:q} --threads {threads}"
        " --out {output:q} > {log:q} 2>&1"


rule warm_scorer:
    """Train the tiny frame scorer."""
    output:
        directory("results/<scale>/scorer"),
    log:
        "results/<scale>/logs/warm_scorer.log",
    threads: need("warm", "cpus")
    resources:
        mem_mb=need("warm", "mem_mb"),
        runtime=need("warm", "runtime"),
    params:
        spec=warm_scorer_spec,
    shell:
        "python -m stgrpo warm --model scorer --spec {params.spec:q} --threads {threads}"
        " --out {output:q} > {log:q} 2>&1"
