# Needs: a hub of repositories; the only rules that may need the internet, and so run where Snakemake does.
# Makes: a source's files, checked and unpacked, and what they are; from the Hub, also their lock beside sources.csv.
# Verbs: fetch.


rule fetch:
    """Bring one source."""
    input:
        hub_manifest,
    output:
        "resources/<scale>/{source}.json",
    log:
        "results/<scale>/logs/fetch-{source}.log",
    localrule: True
    threads: need("fetch", "cpus")
    params:
        # The lock is no output: Snakemake deletes those before an attempt.
        origin=lambda wildcards: (
            ["--hub", HUB]
            if EXPERIMENT.active.world
            else ["--lock", f"workflow/resources/locks/{wildcards.source}.json"]
        ),
        draw=draw_of_source,
        source=source_spec,
    shell:
        "python -m stgrpo fetch --source {params.source:q} {params.origin:q} {params.draw:q}"
        " --out {output:q} > {log:q} 2>&1"


rule prefetch:
    """Bring every source of the scale, for clusters whose nodes cannot reach the internet."""
    input:
        collect("resources/<scale>/{source}.json", source=SOURCES),
    localrule: True
