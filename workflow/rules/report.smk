# Needs: everything that the cells of the active scale left, the questions, the frame scores, the training videos.
# Makes: one page to look at.
# Verbs: report.


rule report:
    """Show the active scale's results on one page."""
    input:
        unpack(inputs_of_report),
        reported=REPORTED_TABLE,
    output:
        page="results/<scale>/report.html",
        provenance="results/<scale>/report.provenance.json",
    log:
        "results/<scale>/logs/report.log",
    localrule: True
    params:
        spec=spec_of_report,
        results=lambda wildcards, output: str(Path(output.page).parent),
    shell:
        "python -m stgrpo report --spec {params.spec:q} --results {params.results:q}"
        " --reported {input.reported:q} --out {output.page:q} > {log:q} 2>&1"
