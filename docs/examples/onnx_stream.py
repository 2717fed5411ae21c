"""Stream token ids through exported graphs with onnxruntime alone: python onnx_stream.py FOLDER 5 17 9 ..."""

import json
import sys

import numpy as np
import onnxruntime

folder, ids = sys.argv[1], np.array(sys.argv[2:], dtype=np.int64)
run = {name: onnxruntime.InferenceSession(f"{folder}/{name}.onnx") for name in ("decode", "chunk")}
facts = json.loads(run["decode"].get_modelmeta().custom_metadata_map["synapnet_edge"])
cfg = facts["config"]
C, N, block, top_k = cfg["chunk_len"], cfg["max_entries"], cfg["window"] // 2, cfg["top_k"]
state = {i.name: np.zeros(i.shape, np.float32) for i in run["decode"].get_inputs() if "." in i.name}
for name in state:
    state[name] += 0 if "bias" not in name else np.where(np.arange(state[name].size) < C + N, -np.inf, 0)
salience, fill, held = np.zeros((cfg["depth"], C), np.float32), 0, 0


def best(values, count):  # places of the largest, in order
    return np.sort(np.argsort(-values, kind="stable")[:count])


def stored(new):  # entries of INT8 models have 255 levels, with an FP16 scale per head
    if facts["entries"] is None:
        return new
    scale = np.maximum(np.abs(new).max(-1, keepdims=True) / np.float32(127), 6.2e-5)
    scale = scale.astype(np.float16).astype(np.float32)
    return np.clip(np.rint(new / scale), -127, 127) * scale


def keep(part, found, layer, graph):  # take what a graph returns into the state
    state[f"tail.{layer}"] = found[f"tail_out.{layer}"]
    for kind in ("keys", "values"):
        state[f"m_{kind}.{layer}"][:, N + part] = found[f"m_{kind[:-1]}.{layer}"]
        if graph == "decode":
            state[f"a_{kind}.{layer}"][:, part] = found[f"a_{kind[:-1]}.{layer}"]
    salience[layer, part] = state[f"a_bias.{layer}"][part] = found["salience"][layer]
    state[f"m_bias.{layer}"][N + part] = found["salience"][layer]


def write(layer):  # a finished chunk: its most salient tokens become entries, the most salient entries stay
    chosen, bias = best(salience[layer], cfg["episodic_slots"]), state[f"m_bias.{layer}"]
    union = np.concatenate([bias[:held], salience[layer, chosen]])
    stay = best(union, N)
    for kind in ("keys", "values"):
        buffer = state[f"m_{kind}.{layer}"]
        both = np.concatenate([buffer[:, :held], stored(buffer[:, N + chosen])], axis=1)
        buffer[:, : len(stay)] = both[:, stay]
    bias[: len(stay)], bias[N : N + C], state[f"a_bias.{layer}"][:] = union[stay], -np.inf, -np.inf
    return len(stay)


while len(ids):
    graph = "chunk" if fill == 0 and len(ids) >= C else "decode"
    part = fill + np.arange(C if graph == "chunk" else 1)
    feed = {"ids": ids[: len(part)], "fill": part}
    feed["log_seen"] = np.log1p(part + held).astype(np.float32)[:, None]
    for given in run[graph].get_inputs():
        if "." in given.name:
            feed[given.name] = state[given.name][: given.shape[0]]
    names = [output.name for output in run[graph].get_outputs()]
    found = dict(zip(names, run[graph].run(None, feed), strict=True))
    for layer in range(cfg["depth"]):
        keep(part, found, layer, graph)
    ids, fill = ids[len(part) :], fill + len(part)
    if fill == C:
        held, fill = [write(layer) for layer in range(cfg["depth"])][-1], 0
    elif fill % block == 0 and (local := (fill // block - 1) * block) > top_k:  # attention's sparse choice
        for layer in range(cfg["depth"]):
            bias, chosen = state[f"a_bias.{layer}"], best(salience[layer, :local], top_k)
            bias[:local] = -np.inf
            bias[chosen] = salience[layer, chosen]
print(json.dumps(found["logits"][0].tolist()))
