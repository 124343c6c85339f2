# Needs: a hub of repositories.
# Makes: a source's files, checked and unpacked, and their lock.
# Verbs: fetch.


rule fetch:
    """Bring one source."""
    input:
        manifest=hub_manifest,
        table=SOURCES_TABLE,
    output:
        "resources/<scale>/{source}.json",
    log:
        "results/<scale>/logs/fetch-{source}.log",
    resources:
        mem_mb=need("fetch", "mem_mb"),
        runtime=need("fetch", "runtime"),
    params:
        hub=lambda wildcards: HUB,
    shell:
        "python -m stgrpo fetch --source {wildcards.source} --sources {input.table:q}"
        " --hub {params.hub:q} --lock {output:q} > {log:q} 2>&1"
