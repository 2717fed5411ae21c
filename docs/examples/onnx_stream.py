"""Stream token ids through exported graphs with onnxruntime alone: python onnx_stream.py FOLDER 5 17 9 ..."""

import json
import sys

import numpy as np
import onnxruntime

folder, ids = sys.argv[1], np.array(sys.argv[2:], dtype=np.int64)
run = {
    name: onnxruntime.InferenceSession(f"{folder}/{name}.onnx")
    for name in ("decode", "chunk", "select", "write")
}
cfg = json.loads(run["decode"].get_modelmeta().custom_metadata_map["synapnet_edge"])["config"]
C, N, depth = cfg["chunk_len"], cfg["max_entries"], cfg["depth"]
state = {i.name: np.zeros(i.shape, np.float32) for i in run["decode"].get_inputs() if "." in i.name}
for name in state:
    state[name][: C + N] -= np.inf if "bias" in name else 0  # at first only the memory's null slot is seen
salience, fill, held = np.zeros((depth, C), np.float32), 0, 0


def call(graph, **given):
    feed = {
        i.name: given[i.name] if i.name in given else state[i.name][: i.shape[0]]
        for i in run[graph].get_inputs()
    }
    return dict(
        zip([output.name for output in run[graph].get_outputs()], run[graph].run(None, feed), strict=True)
    )


while len(ids):
    graph = "chunk" if fill == 0 and len(ids) >= C else "decode"
    part = fill + np.arange(C if graph == "chunk" else 1)
    seen = np.log1p(part + held).astype(np.float32)[:, None]
    found = call(graph, ids=ids[: len(part)], fill=part, log_seen=seen)
    ids, fill, salience[:, part] = ids[len(part) :], fill + len(part), found["salience"]
    for layer in range(depth):  # what a graph returns goes to its place in the state
        state[f"tail.{layer}"] = found[f"tail_out.{layer}"]
        state[f"a_bias.{layer}"][part] = state[f"m_bias.{layer}"][N + part] = salience[layer, part]
        for kind in ("m_key", "m_value", "a_key", "a_value"):
            if f"{kind}.{layer}" in found:
                state[f"{kind}s.{layer}"][:, (N if kind[0] == "m" else 0) + part] = found[f"{kind}.{layer}"]
    if fill == C:  # the chunk's most salient tokens become entries of the memory
        state |= {name.replace("_out", ""): array for name, array in call("write", salience=salience).items()}
        fill, held = 0, min(N, held + cfg["episodic_slots"])
    if fill % (cfg["window"] // 2) == 0:  # what attention sees of the chunk's earlier tokens
        bias = call("select", salience=salience, fill=np.array([fill]))["a_bias"]
        state |= {f"a_bias.{layer}": bias[layer] for layer in range(depth)}
print(json.dumps(found["logits"][0].tolist()))
