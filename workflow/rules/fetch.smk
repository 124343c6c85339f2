# Needs: a hub of repositories.
# Makes: a source's files, checked and unpacked, and their lock.
# Verbs: fetch.


rule fetch:
    """Bring one source."""
    input:
        hub_manifest,
    output:
        "resources/<scale>/{source}.json",
    log:
        "results/<scale>/logs/fetch-{source}.log",
    threads: need("fetch", "cpus")
    resources:
        mem_mb=need("fetch", "mem_mb"),
        runtime=need("fetch", "runtime"),
    params:
        hub=lambda wildcards: HUB,
        source=source_spec,
    shell:
        "python -m stgrpo fetch --source {params.source:q}"
        " --hub {params.hub:q} --lock {output:q} > {log:q} 2>&1"
