# Needs: nothing.
# Makes: the demo's hub of corpora, its tiny policy and its tiny frame scorer.
# Verbs: demo, warm.


rule world:
    """Render the demo's world and write one corpus as the Hub lays it out."""
    output:
        manifest="resources/<scale>/hub/{repository}/manifest.json",
        provenance="results/<scale>/world/{repository}.provenance.json",
    log:
        "results/<scale>/logs/world/{repository}.log",
    wildcard_constraints:
        repository=one_of(REPOSITORIES),
    threads: need("world", "cpus")
    resources:
        mem_mb=memory("world"),
        runtime=need("world", "runtime"),
    params:
        spec=world_spec,
        hub=lambda wildcards: HUB,
    shell:
        "python -m stgrpo demo --spec {params.spec:q} --hub {params.hub:q}"
        " --provenance {output.provenance:q} > {log:q} 2>&1"


rule warm_policy:
    """Warm up the tiny policy from which every cell starts."""
    output:
        directory("results/<scale>/policy"),
    log:
        "results/<scale>/logs/warm_policy.log",
    priority: 1  # every training waits for it
    threads: need("warm", "cpus")
    resources:
        mem_mb=memory("warm"),
        runtime=need("warm", "runtime"),
        gpu=need("warm", "gpus"),
    params:
        spec=policy_spec,
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
        mem_mb=memory("warm"),
        runtime=need("warm", "runtime"),
        gpu=need("warm", "gpus"),
    params:
        spec=scorer_spec,
    shell:
        "python -m stgrpo warm --model scorer --spec {params.spec:q} --threads {threads}"
        " --out {output:q} > {log:q} 2>&1"
