rule stream:
    """Stream a haystack far beyond any training length under a memory budget; on request (`stream_all`)."""
    input:
        unpack(stream_inputs),
    output:
        answers="results/stream/{model}/seed{seed}/{variant}.csv",
        trace="results/stream/{model}/seed{seed}/{variant}.trace.csv",
        manifest="results/stream/{model}/seed{seed}/{variant}.csv.manifest.json",
    log:
        "logs/stream/{model}/seed{seed}/{variant}.log",
    benchmark:
        "benchmarks/stream/{model}/seed{seed}/{variant}.tsv"
    priority: -10
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        settings=block("stream", "model", "variant", "seeds", "settled"),
        test_seed=config["benchmark"]["test_seed"],
        autocast=config["benchmark"]["autocast"],
        device=config["device"],
        code=stream_code,
    script:
        "../scripts/stream.py"


rule stream_report:
    """Write what the long stream showed."""
    input:
        stream=table_files("stream"),
        stream_trace=table_files("stream_trace"),
    output:
        "results/stream.md",
    log:
        "logs/stream_report/stream.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=code("stream_report"),
    script:
        "../scripts/stream_report.py"
