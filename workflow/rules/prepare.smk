# Needs: a fetched source.
# Makes: questions, one a line, and the rows that were set aside.
# Verbs: prepare.


rule prepare:
    """Turn a corpus or a benchmark into questions."""
    input:
        sources_of_questions,
    output:
        questions="results/<scale>/questions/{questions}.jsonl",
        provenance="results/<scale>/questions/{questions}.provenance.json",
        aside=report(
            "results/<scale>/questions/{questions}.aside.csv",
            category="Rows set aside",
            labels={"questions": "{questions}"},
            caption="../report/aside.rst",
        ),
    log:
        "results/<scale>/logs/prepare-{questions}.log",
    threads: need("prepare", "cpus")
    resources:
        mem_mb=memory("prepare"),
        runtime=need("prepare", "runtime"),
    params:
        spec=prepare_spec,
        folders=folders_of_questions,
    shell:
        "python -m stgrpo prepare --spec {params.spec:q} {params.folders:q}"
        " --out {output.questions:q} --aside {output.aside:q} > {log:q} 2>&1"
