"""One engine, one measurement, as a process of its own: engine.py ENGINE DIR INPUTS THREADS SECONDS MODE…

Prints one JSON object: by mode sentences and tokens a second, peak memory, seconds to load, logits of the first sentences.
"""
import json, os, resource, sys, time

engine, directory, inputs, threads, seconds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
modes = sys.argv[6:]
BATCH = 32
os.environ["OMP_NUM_THREADS"] = str(threads)
sentences = json.load(open(inputs))


def torch_engine(dtype):
    import torch
    from network import Network, Weights
    torch.set_num_threads(threads)
    weights = Weights(directory)
    network = Network(weights).eval()

    def run(fed):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            return [y.float().numpy() for y in network(**{k: torch.from_numpy(v) for k, v in fed.items()})]

    return weights.inputs, run


def onnx_engine(file):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(f"{directory}/{file}", options, providers=["CPUExecutionProvider"])
    return shell(), lambda fed: session.run(None, fed)


def openvino_engine(file, precision):
    import openvino as ov
    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    model = ov.Core().compile_model(f"{directory}/{file}", "CPU", config)
    request = model.create_infer_request()
    return shell(), lambda fed: [request.infer(fed)[o].copy() for o in model.outputs]


def shell():
    """How inputs are made, without the weights in memory."""
    from shell import Shell
    return Shell(directory).inputs


start = time.perf_counter()
feed, run = {
    "torch fp32": lambda: torch_engine("fp32"),
    "torch bf16": lambda: torch_engine("bf16"),
    "ONNX Runtime fp32": lambda: onnx_engine("fp32.onnx"),
    "ONNX Runtime int8": lambda: onnx_engine("int8.onnx"),
    "OpenVINO default": lambda: openvino_engine("fp32.onnx", None),
    "OpenVINO f32": lambda: openvino_engine("fp32.onnx", "f32"),
    "OpenVINO int8": lambda: openvino_engine("int8.onnx", None),
}[engine]()
loaded = time.perf_counter() - start
by_length = sorted(sentences, key=lambda s: -len(s["ids"]))
first = {}
for i in range(0, 8, 4):
    for j, heads in enumerate(zip(*run(feed(sentences[i:i + 4])))):
        first[i + j] = [h.tolist() for h in heads]
result = {"load_s": loaded, "logits": [first[i] for i in sorted(first)]}
n_tokens = sum(len(s["ids"]) for s in sentences)
for mode in modes:
    order, batch = (by_length, BATCH) if mode == "sorted" else (sentences, 1 if mode == "single" else BATCH)
    fed = [feed(order[i:i + batch]) for i in range(0, len(order), batch)]
    for f in fed[:3]:
        run(f)
    runs, start = 0, time.perf_counter()
    # A slow engine need not see all sentences: whole batches from all over the range of lengths, until the time is up.
    done = tokens = 0
    order_of_batches = [i for k in range(8) for i in range(k, len(fed), 8)]
    while True:
        for i in order_of_batches:
            run(fed[i])
            done += len(fed[i]["ids"])
            tokens += sum(len(s["ids"]) for s in order[i * batch:(i + 1) * batch])
        if time.perf_counter() - start >= seconds:
            break
    taken = time.perf_counter() - start
    result[mode] = {"sentences_per_s": done / taken, "tokens_per_s": tokens / taken}
result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(result))
