# Needs: scores, credits and training logs of all cells of the active scale; answers and rollouts of those cells whose
# texts are shown; the questions, the frame scores, where it all comes from. Videos and timings are shown if they are there.
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
