# Needs: fetched models.
# Makes: the policy to start from, the frame scorer and the models that are examined as they are, where the cells look
# for them.
# Verbs: adopt.


rule policy:
    """The model from which every cell starts."""
    input:
        f"resources/<scale>/{MODELS.policy}.json",
    output:
        directory("results/<scale>/policy"),
    log:
        "results/<scale>/logs/policy.log",
    localrule: True
    params:
        spec=policy_spec,
    shell:
        "python -m stgrpo adopt --spec {params.spec:q} --fetched {input:q} --out {output:q} > {log:q} 2>&1"


rule scorer:
    """The model that scores the frames."""
    input:
        f"resources/<scale>/{MODELS.scorer}.json",
    output:
        directory("results/<scale>/scorer"),
    log:
        "results/<scale>/logs/scorer.log",
    localrule: True
    params:
        spec=scorer_spec,
    shell:
        "python -m stgrpo adopt --spec {params.spec:q} --fetched {input:q} --out {output:q} > {log:q} 2>&1"


rule model:
    """A model that is examined as it is."""
    input:
        "resources/<scale>/{source}.json",
    output:
        directory("results/<scale>/models/{source}"),
    log:
        "results/<scale>/logs/model-{source}.log",
    localrule: True
    params:
        spec=model_spec,
    shell:
        "python -m stgrpo adopt --spec {params.spec:q} --fetched {input:q} --out {output:q} > {log:q} 2>&1"
