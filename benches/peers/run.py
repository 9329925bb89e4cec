"""rasid beside ONNX Runtime, OpenVINO, PyTorch and candle-transformers, with the same weights and sentences.

    python benches/peers/run.py [--rounds 5] [--seconds 2] [--sentences 256] [--shapes shipped 6x384 12x768] [--threads 2 1] [--out FILE.json]

Run by `make bench-peers`, which sets up the Python environment. Engines take turns, each measurement is a process of its own, and the
table shows medians over the rounds. Logits of the first sentences are compared first: an engine with other answers is no peer.
"""
import argparse, json, os, pathlib, platform, statistics, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target/peers"
PEERS = ["ONNX Runtime fp32", "ONNX Runtime int8", "OpenVINO default", "OpenVINO f32", "OpenVINO int8", "torch fp32", "torch bf16", "candle"]
OURS = ["rasid f32", "rasid int8"]
CANDLE = OUT / "candle-target/release/rasid-peer-candle"


def rasid(*words):
    command = ["cargo", "bench", "--quiet", "--bench", "peers", "--", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def prepare(shape, n):
    directory = ROOT / "models/default" if shape == "shipped" else OUT / shape
    built, inputs = OUT / f"{shape}-onnx", OUT / f"{shape}.json"
    if shape != "shipped" and not directory.exists():
        rasid("shape", shape, directory)
    rasid("inputs", directory, n, inputs)
    # Built anew for other weights: answers are compared, and a shipped model is replaced now and then.
    weights, last = directory / "model.safetensors", built / "int8.onnx"
    if not last.exists() or last.stat().st_mtime < weights.stat().st_mtime:
        code = f"""
import sys; sys.path.insert(0, {str(HERE)!r})
import onnx
from safetensors.numpy import save_file
from network import Weights, onnx_model
from onnxruntime.quantization import QuantType, quantize_dynamic
import os
os.makedirs({str(built)!r}, exist_ok=True)
weights = Weights({str(directory)!r})
save_file({{n: t.astype("float32") for n, t in weights.tensors.items()}}, {str(built / "model.safetensors")!r})
onnx.save(onnx_model(weights), {str(built / "fp32.onnx")!r})
quantize_dynamic({str(built / "fp32.onnx")!r}, {str(built / "int8.onnx")!r}, weight_type=QuantType.QInt8, per_channel=True)
"""
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        (built / "config.json").write_text((directory / "config.json").read_text())
    return directory, built, inputs


def measure(engine, places, threads, seconds, modes):
    directory, built, inputs = places
    if engine.startswith("rasid"):
        results = [json.loads(rasid("time", directory, inputs, engine.split()[1], threads, mode, seconds)) for mode in modes]
        result = {**results[0], "peak_mb": max(r["peak_mb"] for r in results)}
        return result | {mode: r for mode, r in zip(modes, results)}
    if engine == "candle":
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads)}
        command = [CANDLE, built, inputs, threads, seconds, *modes]
        return json.loads(subprocess.run(map(str, command), env=environment, check=True, capture_output=True, text=True).stdout)
    place = directory if engine.startswith("torch") else built
    command = [sys.executable, HERE / "engine.py", engine, place, inputs, threads, seconds, *modes]
    return json.loads(subprocess.run(map(str, command), check=True, capture_output=True, text=True, cwd=HERE).stdout)


def distance(a, b):
    pairs = [(x, y) for s, t in zip(a, b) for h, g in zip(s, t) for x, y in zip(h, g)]
    return max(abs(x - y) for x, y in pairs)


def flops(config, inputs):
    """Operations that a sentence needs, on average: products of weights and of attention."""
    d, f, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    lengths = [len(s["ids"]) for s in json.loads(inputs.read_text())]
    return statistics.mean(layers * (2 * n * (4 * d * d + 3 * d * f) + 4 * n * n * d) for n in lengths)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--sentences", type=int, default=256)
    p.add_argument("--shapes", nargs="+", default=["shipped", "6x384", "12x768"])
    p.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    p.add_argument("--engines", nargs="+", default=OURS + PEERS)
    p.add_argument("--out", type=pathlib.Path, default=OUT / "peers.json")
    args = p.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    peak = float(rasid("peak"))
    report = {"machine": processor(), "peak_gflops_a_core": peak, "versions": versions(), "tables": []}
    for shape in args.shapes:
        places = prepare(shape, args.sentences)
        need = flops(json.loads((places[0] / "config.json").read_text()), places[2])
        for threads in args.threads:
            modes = ["sorted", "unsorted", "single"] if threads == 1 else ["sorted", "unsorted"]
            rounds = {engine: [] for engine in args.engines}
            for _ in range(args.rounds):
                for engine in args.engines:
                    rounds[engine].append(measure(engine, places, threads, args.seconds, modes))
            exact = rounds["rasid f32"][0]["logits"] if "rasid f32" in rounds else None
            table = {"shape": shape, "threads": threads, "rows": []}
            for engine, results in rounds.items():
                row = {"engine": engine, "load_s": statistics.median(r["load_s"] for r in results),
                       "peak_mb": statistics.median(r["peak_mb"] for r in results)}
                for mode in modes:
                    rate = statistics.median(r[mode]["sentences_per_s"] for r in results)
                    row[mode] = {"sentences_per_s": rate, "tokens_per_s": statistics.median(r[mode]["tokens_per_s"] for r in results),
                                 "of_peak": rate * need / (peak * 1e9 * threads)}
                if exact and "logits" in results[0]:
                    row["distance"] = distance(exact, results[0]["logits"])
                table["rows"].append(row)
            report["tables"].append(table)
            print(markdown(table), flush=True)
            args.out.write_text(json.dumps(report, indent=1))


def markdown(table):
    modes = [m for m in ("sorted", "unsorted", "single") if m in table["rows"][0]]
    lines = [f"\n{table['shape']}, {table['threads']} thread(s), sentences a second (of the peak of f32)\n",
             "| engine | " + " | ".join(modes) + " | peak MB | load s | logits off by |", "|---" * (len(modes) + 4) + "|"]
    for row in table["rows"]:
        cells = [f"{row[m]['sentences_per_s']:,.0f} ({row[m]['of_peak']:.0%})" for m in modes]
        off = f"{row['distance']:.0e}" if "distance" in row else "–"
        lines.append(f"| {row['engine']} | " + " | ".join(cells) + f" | {row['peak_mb']:.0f} | {row['load_s']:.2f} | {off} |")
    return "\n".join(lines)


def processor():
    names = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")] if os.path.exists("/proc/cpuinfo") else []
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def versions():
    from importlib.metadata import version
    return {name: version(name) for name in ("onnxruntime", "openvino", "torch")}


if __name__ == "__main__":
    main()
