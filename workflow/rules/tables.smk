# Needs: the cells' scores, the trainings' metrics; at a comparable scale what the paper prints.
# Makes: tables and figures, and their copies at the top of results/.
# Verbs: tabulate, figure, publish.


rule tabulate:
    """Make one table of the active scale."""
    input:
        metrics=lambda wildcards: files_of_table(wildcards, "metrics.json"),
        graded=lambda wildcards: files_of_table(wildcards, "graded.jsonl"),
        reported=REPORTED_TABLE if EXPERIMENT.active.comparable else [],
    output:
        tex="results/<scale>/{table}.tex",
        csv="results/<scale>/{table}.csv",
        provenance="results/<scale>/{table}.provenance.json",
    log:
        "results/<scale>/logs/{table}.log",
    localrule: True
    params:
        spec=table_spec,
        reported=lambda wildcards, input: (
            ["--reported", input.reported] if input.reported else []
        ),
    shell:
        "python -m stgrpo tabulate --spec {params.spec:q} --metrics {input.metrics:q}"
        " --graded {input.graded:q} {params.reported:q}"
        " --tex {output.tex:q} --csv {output.csv:q} > {log:q} 2>&1"


rule figure:
    """Draw one figure of the active scale."""
    input:
        trainings_of_figure,
    output:
        pdf="results/<scale>/{figure}.pdf",
        png="results/<scale>/{figure}.png",
        provenance="results/<scale>/{figure}.provenance.json",
    log:
        "results/<scale>/logs/{figure}.log",
    localrule: True
    params:
        spec=figure_spec,
        runs=lambda wildcards, input: [str(Path(name).parent) for name in input[::2]],
    shell:
        "python -m stgrpo figure --spec {params.spec:q} --runs {params.runs:q}"
        " --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule publish:
    """Put the forms of one result of the active scale where the README looks for them."""
    input:
        "results/<scale>/{result}.{form}",
    output:
        report(
            "results/{result}.{form}",
            category="Tables and figures",
            labels={"result": "{result}", "form": "{form}"},
            caption="../report/result.rst",
        ),
    log:
        "results/<scale>/logs/publish-{result}-{form}.log",
    wildcard_constraints:
        result=one_of(
            [*EXPERIMENT.active.known_tables, *EXPERIMENT.active.figures, "report"]
        ),
        form="tex|csv|pdf|png|html",
    localrule: True
    params:
        scale=EXPERIMENT.scale,
    shell:
        "python -m stgrpo publish --scale {params.scale:q} --result {input:q} --out {output:q}"
        " > {log:q} 2>&1"
