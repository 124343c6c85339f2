# Needs: the cells' scores.
# Makes: tables, and their copies at the top of results/.
# Verbs: tabulate, publish.


rule tabulate:
    """Make one table of the active scale."""
    input:
        metrics_of_table,
    output:
        tex="results/<scale>/{table}.tex",
        csv="results/<scale>/{table}.csv",
    log:
        "results/<scale>/logs/{table}.log",
    localrule: True
    params:
        spec=table_spec,
    shell:
        "python -m stgrpo tabulate --spec {params.spec:q} --metrics {input:q}"
        " --tex {output.tex:q} --csv {output.csv:q} > {log:q} 2>&1"


rule publish:
    """Put a result of the active scale where the README looks for it."""
    input:
        "results/<scale>/{table}.{form}",
    output:
        report(
            "results/{table}.{form}", category="Tables", caption="../report/table.rst"
        ),
    log:
        "results/<scale>/logs/publish-{table}-{form}.log",
    wildcard_constraints:
        form="tex|csv",
    localrule: True
    params:
        scale=EXPERIMENT.scale,
    shell:
        "python -m stgrpo publish --scale {params.scale:q} --result {input:q} --out {output:q}"
        " > {log:q} 2>&1"
